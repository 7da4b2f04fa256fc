// Package httpapi is the HTTP face of package upgrade: a Handler that any mux
// can mount under any prefix, and a Client that shares its types.
//
// The paths, methods, statuses and bodies are those that clients of Digital
// Rebar Provision's self-upgrade use, drpcli among them. What goes beyond them
// is extra: further keys, headers and routes that such clients ignore.
//
// # Routes
//
// All lie below Config.Prefix, "/api/v3" unless set. HEAD works wherever GET
// does.
//
//	method    path                        right       success
//	POST      system/upgrade/stage        stage       201 BlobInfo
//	DELETE    system/upgrade/stage        abort       204
//	POST      system/upgrade/run          run         202, header Upgrade-Run
//	POST      system/upgrade/pause        abort *     204
//	POST      system/upgrade/resume       run         204
//	POST      system/upgrade/retry        run         202, header Upgrade-Run
//	POST      system/upgrade/rollback     run         202, header Upgrade-Run
//	POST      system/upgrade/commit       run         204
//	GET       system/upgrade/status       status      200 tracking.Profile, or upgrade.Status
//	POST      system/upgrade              stage, run  201 BlobInfo; one server only
//	POST      system/upgrade/exec         run         202, or 204 if it runs already
//	GET POST  system/upgrade/check        status      200 upgrade.CheckReport
//	GET POST  system/upgrade/plan         status      200 upgrade.PlanReport
//	GET       system/upgrade/peer/report  peer        200 upgrade.PeerReport
//	GET       system/upgrade/peer/blob/D  peer        200 or 206, the archive of digest D
//	POST      system/upgrade/peer/look    peer        204
//	GET       profiles                    status      200 list of tracking.Profile
//	GET       profiles/NAME               status      200 tracking.Profile
//	GET       profiles/NAME/params        status      200 its Params
//	GET       profiles/NAME/params/KEY    status      200 the bare value
//
// NAME is tracking.ProfileName.
//
// * The right run does as well: whoever may cancel may do the milder thing, and
// whoever may resume may take that back.
//
// Query parameters:
//
//	stage, legacy                      sha256=HEX      digest of the body; Content-Digest does the same
//	run                                plan=ID         start only this plan
//	run, retry, rollback, check, plan  skip=ID         go on without this check; may be repeated
//	run, retry, rollback, check, plan  allow-outage=1  although nobody can write while a member restarts
//	retry, rollback                    forget=MEMBER   gone for good, not waited for; may be repeated
//	status                             view=2          upgrade.Status in place of the profile
//
// In place of the query, run takes the JSON body
// {"plan":"ID","skip":["ID"],"allow_outage":true}, retry and rollback
// {"skip":["ID"],"forget":["MEMBER"],"allow_outage":true}, and status the header
// Accept: application/vnd.leaderlast.status+json. A body POSTed to check or plan is
// the archive.Head of an archive that is not here yet, at most 2 MiB.
//
// # Uploads
//
// The body is the archive itself, sent as application/octet-stream, as zip, as
// gzip, or without a type. It may be of unknown length and is never held in
// memory. Authorisation, type and announced size are judged before the first
// byte is read, so that a client that sends Expect: 100-continue (RFC 9110,
// 10.1.1) is refused before it sends one. One upload is taken at a time.
//
// # Replies
//
// Every reply says Content-Type: application/json, those without a body too:
// drpcli takes any other for an error. Only an archive that another member fetches
// is application/octet-stream; it may be asked for from some byte on (Range, RFC
// 9110, 14.2). Replies are never to be stored
// (Cache-Control: no-store), but what is read carries an ETag, and a request
// with If-None-Match gets 304 while nothing has changed. With Prefer: wait=N
// (RFC 7240) beside it, that answer is held back for up to N seconds, at most
// 60, and the change is told the moment it is made.
//
// Requests without a body may be repeated: clients do so when a reply was lost.
//
// # Errors
//
// Every error is an Error object, also those of unknown paths and of panics. The
// status follows from the upgrade.Kind, which is its Type:
//
//	Invalid      422    Conflict     409    Busy         429, Retry-After
//	Short        400    NotReady     409    Unavailable  503
//	Untrusted    403    TooLarge     413    Unsupported  501
//	Forbidden    403    NoSpace      507
//	NotFound     404
//
// but for a few Reasons that HTTP has a status for: Unauthenticated 401,
// MethodNotAllowed 405, UploadStalled and UploadTooSlow 408, MediaType 415,
// RangeNotSatisfiable 416, ReplicationIncomplete 504. An error that is no refusal
// has the Type Internal and the status 500. Where no such profile is, the Type is
// "GET", as in the reference product.
//
// # Following a run
//
// Client.Watch follows a run through restarts of the server that it asks, and
// yields each line of the transcript once and in order. In a cluster it goes on
// through the other members.
package httpapi
