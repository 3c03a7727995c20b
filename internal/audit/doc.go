// Package audit keeps a log of who did what, and who was refused: one line of JSON a
// record, each with the SHA-256 of the line before it, so that no record can be
// changed, removed or put elsewhere without a trace. It is a leaf and knows keys,
// names and rules as text only.
//
// [Open] opens a [Log]. [Log.Note] reports an [Event] and costs its caller a place in
// a queue; [Log.Commit] reports a change by an administrator and returns when it is on
// the disk. [Log.Recent] and [Log.Follow] read the newest records from memory.
// [Verify] reads the files and names the first record that is wrong.
//
//	{"seq":7,"wall":…,"mono":…,"boot":"…","prev":"…","event":"…",…,"crc":"…"}
//
// A line is at most 2,048 bytes of printable ASCII (see [AppendRecord]). seq orders
// the records and has no holes; boot and mono order those of one start of the server
// whatever the clock on the wall does. crc is the CRC-32C of the line before it: it
// tells a line that decayed from one whose neighbour did. A record of event head signs
// the line before it ([Head]): one comes at least every 1,000 records, 60 seconds
// after a record, at the end of a file, and on Close. Hash and signature show what was
// rewritten; a tail that was cut off shows only against a head that somebody keeps
// elsewhere ([Report]).
//
// The files are audit-N.jsonl in one directory, N being the number of the first record
// in 20 digits. Nothing is renamed: a full file is followed by the next, whose first
// record (event rotate) says what is kept, and the oldest are removed.
//
// Bounds: 4,096 notes wait for the writer; an actor may have 200 notes a second;
// what is over is counted and told of in suppressed records. If the file cannot be
// written, [Log.Degraded] says so and commits are refused; 256 KiB of lines wait, and
// what is over has a number but no line. When the file can be written again, which is
// tried every second and at each commit, a gap record says what is missing. A panic of
// the writer leaves the log degraded until it is closed.
//
// One goroutine writes, and one serves each [Sink].
package audit
