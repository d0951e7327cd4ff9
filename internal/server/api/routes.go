package api

import "github.com/trusch/jamesd/internal/server/fleet"

// Route is a row of the table: one method of one path.
type Route struct {
	Method string
	// Path is as in OpenAPI and http.ServeMux: {id} is a device, {digest} a packet.
	Path string
	// Access is who may call it.
	Access Role
	// Op is the operation in words, as errors name it: "cannot OP SUBJECT".
	Op string
	// Query lists the parameters that the query may have.
	Query []string
	// MaxBody bounds the body in bytes; 0 means that there must be none.
	MaxBody int64
	// Change marks what an operator wants to see in the log.
	Change bool

	pattern string // method and path, in a table that is served

	// transfer marks answers that are archives and streams, manifest those that are manifests:
	// what takes the link for longer than a moment.
	transfer, manifest bool
	// handle is called with the fleet, or nil where alone is set.
	handle func(*call, *fleet.Fleet) error
	alone  bool
}

// heavy reports whether what an answer sends is held down to the rates.
func (r *Route) heavy() bool { return r.transfer || r.manifest }

// Limits of bodies. They follow from what a packet, a device and a state may have, on which
// both sides agree; there is nothing to choose about them.
const (
	// maxPacket bounds the first part of an upload: scripts and names.
	maxPacket = 8 << 20
	// maxState bounds a poll and a desired state: james.MaxApps apps with long
	// names and a dozen tags each.
	maxState = 2 << 20
	// maxBlobs bounds what contents are wanted: the entries of a large packet, every
	// second of them, and what james.MaxHave packets are called.
	maxBlobs = 4 << 20
	// maxReport holds james.MaxOutput bytes of which each is escaped.
	maxReport = 256 << 10
	// maxProgress holds a james.Progress.
	maxProgress = 4 << 10
	// MaxBody is the largest body that a device may send, in bytes.
	MaxBody = maxBlobs
	// upload stands for Options.MaxUpload.
	upload = -1
)

// Routes returns the table.
func Routes() []Route { return routes }

var routes = []Route{
	{Method: "POST", Path: "/v1/poll", Access: Device, Op: "poll", MaxBody: maxState, handle: poll},
	{Method: "POST", Path: "/v1/reports", Access: Device, Op: "report a transaction", MaxBody: maxReport, Change: true, handle: report},
	{Method: "POST", Path: "/v1/progress", Access: Device, Op: "tell the progress of a plan", MaxBody: maxProgress, handle: hearProgress},

	{Method: "POST", Path: "/v1/blobs", Access: Device | Cache, Op: "get contents", MaxBody: maxBlobs, transfer: true, handle: getBlobs},

	{Method: "POST", Path: "/v1/packets", Access: Admin, Op: "add packet", MaxBody: upload, Change: true, handle: addPacket},
	{Method: "GET", Path: "/v1/packets", Access: Admin, Op: "list packets", Query: []string{"name"}, handle: listPackets},
	{Method: "GET", Path: "/v1/packets/{digest}", Access: Admin, Op: "get packet", handle: getPacket},
	{Method: "DELETE", Path: "/v1/packets/{digest}", Access: Admin, Op: "delete packet", Query: []string{"force"}, Change: true, handle: deletePacket},
	{Method: "GET", Path: "/v1/packets/{digest}/manifest", Access: Device | Admin | Cache, Op: "get the manifest of packet", manifest: true, handle: getManifest},
	{Method: "GET", Path: "/v1/packets/{digest}/archive", Access: Device | Admin | Cache, Op: "get the archive of packet", transfer: true, handle: getArchive},

	{Method: "GET", Path: "/v1/packets/{digest}/diff", Access: Admin, Op: "compare packet", Query: []string{"from"}, handle: getDiff},

	{Method: "GET", Path: "/v1/devices", Access: Admin, Op: "list devices", handle: listDevices},
	{Method: "GET", Path: "/v1/devices/{id}", Access: Admin, Op: "get device", handle: getDevice},
	{Method: "DELETE", Path: "/v1/devices/{id}", Access: Admin, Op: "delete device", Change: true, handle: deleteDevice},
	{Method: "GET", Path: "/v1/devices/{id}/state", Access: Admin, Op: "get the state of", handle: getState},
	{Method: "GET", Path: "/v1/devices/{id}/desired", Access: Admin, Op: "get the desired state of", handle: getDesired},
	{Method: "PUT", Path: "/v1/devices/{id}/desired", Access: Admin, Op: "set the desired state of", MaxBody: maxState, Change: true, handle: setDesired},
	{Method: "DELETE", Path: "/v1/devices/{id}/desired", Access: Admin, Op: "delete the desired state of", Change: true, handle: deleteDesired},
	{Method: "GET", Path: "/v1/devices/{id}/plan", Access: Admin, Op: "get the plan of", handle: getPlan},

	{Method: "GET", Path: "/v1/events", Access: Admin, Op: "list events", Query: []string{"after", "limit", "wait"}, handle: listEvents},
	{Method: "GET", Path: "/v1/status", Access: Admin, Op: "get the status of the fleet", handle: getStatus},
	{Method: "GET", Path: "/v1/openapi.yaml", Access: Device | Admin, Op: "get the description of the API", handle: getDescription, alone: true},
}
