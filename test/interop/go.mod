module github.com/cad2f06c/switchboard/test/interop

go 1.26.0

ignore ./js

replace github.com/cad2f06c/switchboard => ../..

require (
	filippo.io/edwards25519 v1.2.0
	github.com/anishathalye/porcupine v1.3.1
	github.com/cad2f06c/switchboard v0.0.0-00010101000000-000000000000
	github.com/hashicorp/yamux v0.1.2
	github.com/libp2p/go-yamux/v5 v5.1.0
	github.com/ssbc/go-muxrpc/v2 v2.0.14-0.20221111190521-10382533750c
	github.com/ssbc/go-secretstream v1.2.11-0.20221111164233-4b41f899f844
	go.mindeco.de v1.12.0
	go.uber.org/goleak v1.3.0
	golang.org/x/crypto v0.58.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/cloudflare/circl v1.6.5 // indirect
	github.com/go-logfmt/logfmt v0.4.0 // indirect
	github.com/hashicorp/errwrap v1.1.0 // indirect
	github.com/hashicorp/go-multierror v1.1.0 // indirect
	github.com/karrick/bufpool v1.2.0 // indirect
	github.com/karrick/gopool v1.2.2 // indirect
	github.com/kr/logfmt v0.0.0-20140226030751-b84e30acd515 // indirect
	github.com/libp2p/go-buffer-pool v0.0.2 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/ssbc/go-luigi v0.3.7-0.20221019204020-324065b9a7c6 // indirect
	github.com/ssbc/go-netwrap v0.1.5-0.20221019160355-cd323bb2e29d // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)
