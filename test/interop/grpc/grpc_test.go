// Package grpc holds tests of grpc-go over channels: its server on a listener
// of client.Listen, its client on client.DialContext, both unmodified.
package grpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const name = "org.example.grpc"

// echoDesc is a service with one bidirectional stream, written by hand so that
// no generated code is needed.
func echoDesc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "test.Echo",
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: "Echo", Handler: echo, ServerStreams: true, ClientStreams: true}},
	}
}

func echo(_ any, stream grpc.ServerStream) error {
	for {
		var m wrapperspb.BytesValue
		err := stream.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = stream.SendMsg(&m)
		}
		if err != nil {
			return err
		}
	}
}

// plugin serves gRPC under a name until the test ends.
type plugin struct {
	*grpc.Server
	health  *health.Server
	callers chan net.Addr // of unary calls
}

func serve(t *testing.T, c *client.Client) *plugin {
	t.Helper()
	ln, err := c.Listen(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	p := &plugin{health: health.NewServer(), callers: make(chan net.Addr, 100)}
	p.Server = grpc.NewServer(grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if from, ok := peer.FromContext(ctx); ok {
				p.callers <- from.Addr
			}
			return next(ctx, req)
		}))
	healthpb.RegisterHealthServer(p, p.health)
	p.RegisterService(echoDesc(), nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		p.Stop()
		wg.Wait()
	})
	return p
}

func dial(t *testing.T, c *client.Client) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+name,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) { return c.DialContext(ctx, "", to) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestGRPC(t *testing.T) {
	for _, network := range host.Networks() {
		for _, lanes := range []string{"yamux", "single lanes"} {
			t.Run(network+"/"+lanes, func(t *testing.T) {
				keys := [2]shs.PrivateKey{shs.GenerateKey(), shs.GenerateKey()}
				h := host.Start(t, keys[0].Public(), keys[1].Public())
				set := func(c *client.Config) { c.SingleLane = lanes != "yamux" }
				p := serve(t, h.Client(t, network, keys[0], set))
				conn := dial(t, h.Client(t, network, keys[1], set))
				t.Run("unary", func(t *testing.T) { unary(t, conn, p, keys[1].Public()) })
				t.Run("server stream", func(t *testing.T) { watch(t, conn, p) })
				t.Run("both ways", func(t *testing.T) { bidi(t, conn) })
				t.Run("cancel", func(t *testing.T) { cancel(t, conn) })
			})
		}
	}
}

// unary makes calls at once; the callee knows who calls.
func unary(t *testing.T, conn *grpc.ClientConn, p *plugin, caller shs.PublicKey) {
	hc := healthpb.NewHealthClient(conn)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			res, err := hc.Check(host.Context(t), &healthpb.HealthCheckRequest{})
			if err != nil || res.Status != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("got %v, %v", res, err)
			}
		})
	}
	wg.Wait()
	for range 20 {
		if from, ok := (<-p.callers).(channel.Addr); !ok || from.Key != caller {
			t.Errorf("called by %v, want %v", from, caller)
		}
	}
	_, err := hc.Check(host.Context(t), &healthpb.HealthCheckRequest{Service: "none"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: got %v, want %v", err, codes.NotFound)
	}
	<-p.callers
}

// watch reads a stream of the server's.
func watch(t *testing.T, conn *grpc.ClientConn, p *plugin) {
	stream, err := healthpb.NewHealthClient(conn).Watch(host.Context(t), &healthpb.HealthCheckRequest{Service: "x"})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if res, err := stream.Recv(); err != nil || res.Status != want {
			t.Fatalf("got %v, %v, want %v", res, err, want)
		}
	}
	next(healthpb.HealthCheckResponse_SERVICE_UNKNOWN)
	p.health.SetServingStatus("x", healthpb.HealthCheckResponse_SERVING)
	next(healthpb.HealthCheckResponse_SERVING)
	p.health.SetServingStatus("x", healthpb.HealthCheckResponse_NOT_SERVING)
	next(healthpb.HealthCheckResponse_NOT_SERVING)
}

// bidi sends and receives 4 MiB on each of some streams at once.
func bidi(t *testing.T, conn *grpc.ClientConn) {
	message := bytes.Repeat([]byte("switchboard "), 5000)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			stream, err := conn.NewStream(host.Context(t), &echoDesc().Streams[0], "/test.Echo/Echo")
			if err != nil {
				t.Error(err)
				return
			}
			var sender sync.WaitGroup
			defer sender.Wait()
			sender.Go(func() {
				for range 70 {
					if err := stream.SendMsg(wrapperspb.Bytes(message)); err != nil {
						t.Error(err)
						return
					}
				}
				if err := stream.CloseSend(); err != nil {
					t.Error(err)
				}
			})
			for i := range 70 {
				var m wrapperspb.BytesValue
				if err := stream.RecvMsg(&m); err != nil || !bytes.Equal(m.Value, message) {
					t.Errorf("message %d: got %d bytes, %v", i, len(m.Value), err)
					return
				}
			}
			if err := stream.RecvMsg(new(wrapperspb.BytesValue)); !errors.Is(err, io.EOF) {
				t.Errorf("the end: got %v, want %v", err, io.EOF)
			}
		})
	}
	wg.Wait()
}

// cancel ends a stream in the middle; the connection lives on.
func cancel(t *testing.T, conn *grpc.ClientConn) {
	ctx, cancel := context.WithCancel(host.Context(t))
	stream, err := conn.NewStream(ctx, &echoDesc().Streams[0], "/test.Echo/Echo")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(wrapperspb.Bytes([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(new(wrapperspb.BytesValue)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := stream.RecvMsg(new(wrapperspb.BytesValue)); status.Code(err) != codes.Canceled {
		t.Errorf("got %v, want %v", err, codes.Canceled)
	}
	if _, err := healthpb.NewHealthClient(conn).Check(host.Context(t), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestRestart kills a plugin under a gRPC connection: calls fail as
// unavailable, and succeed again, on the same connection, once another plugin
// has the name.
func TestRestart(t *testing.T) {
	h := host.Start(t)
	first := h.Client(t, "unix", shs.GenerateKey())
	serve(t, first)
	conn := dial(t, h.Client(t, "unix", shs.GenerateKey()))
	hc := healthpb.NewHealthClient(conn)
	if _, err := hc.Check(host.Context(t), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	stream, err := hc.Watch(host.Context(t), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want %v", err, codes.Unavailable)
	}
	if _, err := hc.Check(host.Context(t), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want %v", err, codes.Unavailable)
	}
	serve(t, h.Client(t, "unix", shs.GenerateKey()))
	if _, err := hc.Check(host.Context(t), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Errorf("with another plugin: %v", err)
	}
}
