package version

// FromBuildInfo is tested by itself, as a test's own build info is not chosen.
var FromBuildInfo = fromBuildInfo
