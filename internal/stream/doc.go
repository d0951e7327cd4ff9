// Package stream is the form in which the contents of files travel from the
// server to a device: the answer to a james.BlobsRequest.
//
// A stream begins with the five bytes "JBS", 1 for its version, and 'z' or 'x' for
// its codec. The rest is frames of zstd, or one stream of xz, that refer to at most
// Window bytes before. In one frame what was sent once makes all that is alike cheap,
// also in the contents of other files; more than one there are where a server sends
// contents as it keeps them. It all decompresses to groups, each of which begins with
// a byte:
//
//	0  the end
//	1  a whole piece:  its size, its head, its bytes
//	2  a batch:        its size, the patches of several pieces (delta.AppendBatch),
//	                   the head of each
//
// Numbers are varints. A head says which content it is (Head), by what has changed
// since the head before. Heads are in the order in which contents were wanted: packet
// after packet, and in each ascending by entry. A stream holds no digests, and no
// sizes of contents that the patches know: who receives it has the manifests, and
// compares each content with its digest.
//
// A content may come in several pieces, each with a head of its own that goes on
// where the last one ended; so a large patch is as many pieces as it takes for each to
// be in a batch that can be held in memory. Pieces may be patched and whole in any
// order. To the receiver they are all the same: append what comes at Head.Offset. A
// content that is there up to some byte goes on from there in a new stream, as the
// offset of a first piece may be any.
//
// What always holds: reading takes at most 16 MiB whatever comes, beside what applying
// a patch takes (package delta); what is malformed or has ended too early is
// james.KindCorrupt; and a stream is at its end only after the codec's checksums, which
// frames that a server keeps may lack. The same calls make the same bytes.
package stream
