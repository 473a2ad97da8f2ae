// Attack makes calls that others describe: a JSON object in each line of standard input, an answer in each line of standard output.
//
// It is the attacker, so it checks nothing before it sends. Requests are of the generated messages, by the generated descriptors.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"sandgate.dev/interop/dial"
	_ "sandgate.dev/interop/gen/sandgate/auth/v1"
	_ "sandgate.dev/interop/gen/sandgate/policy/v1"
	_ "sandgate.dev/interop/gen/sandgate/sandbox/v1"
	"sandgate.dev/interop/refusal"
)

const timeout = 20 * time.Second

type row struct {
	dial.Way
	ServiceCA   string            `json:"serviceCa"`
	Certificate string            `json:"certificate"`
	Key         string            `json:"key"`
	Headers     map[string]string `json:"headers"`
	Method      string            `json:"method"`
	Requests    []json.RawMessage `json:"requests"`
}

func main() {
	log.SetFlags(0)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			log.Fatal(err)
		}
		outcome, err := r.attack()
		if err != nil {
			log.Fatalf("%s: %v", r.Method, err)
		}
		if err := answers.Encode(outcome); err != nil {
			log.Fatal(err)
		}
	}
}

// attack answers how the call ended. Its error is one of ours, before anything was sent.
func (r row) attack() (refusal.Refusal, error) {
	method, requests, err := r.parse()
	if err != nil {
		return refusal.Refusal{}, err
	}
	var certificate *tls.Certificate
	if r.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(r.Certificate), []byte(r.Key))
		if err != nil {
			return refusal.Refusal{}, err
		}
		certificate = &pair
	}
	conn, err := r.Open([]byte(r.ServiceCA), certificate)
	if err != nil {
		return refusal.Refusal{}, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(context.Background(), metadata.New(r.Headers)), timeout)
	defer cancel()
	return refusal.Of(call(ctx, conn, method, requests)), nil
}

// parse finds the method among the generated ones, and makes its messages.
func (r row) parse() (protoreflect.MethodDescriptor, []proto.Message, error) {
	name := protoreflect.FullName(strings.Replace(r.Method, "/", ".", 1))
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, nil, err
	}
	method, ok := descriptor.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, nil, fmt.Errorf("%s is not a method", name)
	}
	input, err := protoregistry.GlobalTypes.FindMessageByName(method.Input().FullName())
	if err != nil {
		return nil, nil, err
	}
	requests := make([]proto.Message, 0, len(r.Requests))
	for _, text := range r.Requests {
		message := input.New().Interface()
		if err := protojson.Unmarshal(text, message); err != nil {
			return nil, nil, err
		}
		requests = append(requests, message)
	}
	return method, requests, nil
}

// call returns nil when the call is let through: with its first response, or when it ends without an error.
func call(ctx context.Context, conn *grpc.ClientConn, method protoreflect.MethodDescriptor, requests []proto.Message) error {
	output, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		return err
	}
	description := &grpc.StreamDesc{ClientStreams: method.IsStreamingClient(), ServerStreams: method.IsStreamingServer()}
	stream, err := conn.NewStream(ctx, description, fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name()))
	if err != nil {
		return err
	}
	for _, request := range requests {
		if err := stream.SendMsg(request); err != nil {
			if errors.Is(err, io.EOF) {
				break // the call has ended: RecvMsg says how
			}
			return err
		}
	}
	if !(method.IsStreamingClient() && method.IsStreamingServer()) { // else a client that keeps its side open
		if err := stream.CloseSend(); err != nil {
			return err
		}
	}
	if err := stream.RecvMsg(output.New().Interface()); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
