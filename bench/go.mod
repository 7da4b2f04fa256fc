module github.com/leaderlast/leaderlast/bench

go 1.25.0

require (
	github.com/leaderlast/leaderlast v0.0.0
	github.com/minio/selfupdate v0.6.0
)

replace github.com/leaderlast/leaderlast => ../
