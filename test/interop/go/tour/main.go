// Tour is a sandbox's life in five steps: enrol, renew, be refused with a used token, connect, and an operator who watches it.
//
// It reads where to go as JSON from standard input, because it holds a bootstrap token, and prints what happened as JSON.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"

	"sandgate.dev/interop/dial"
	authv1 "sandgate.dev/interop/gen/sandgate/auth/v1"
	sandboxv1 "sandgate.dev/interop/gen/sandgate/sandbox/v1"
	"sandgate.dev/interop/refusal"
	"sandgate.dev/interop/supervisor"
)

type plan struct {
	ServiceCAFile  string   `json:"serviceCaFile"`
	SandboxID      string   `json:"sandboxId"`
	Incarnation    int64    `json:"incarnation"`
	BootstrapToken string   `json:"bootstrapToken"`
	RequestID      string   `json:"requestId"`
	Enrol          dial.Way `json:"enrol"`
	Auth           dial.Way `json:"auth"`
	Sandbox        dial.Way `json:"sandbox"`
	Operator       struct {
		dial.Way
		CertificateFile string `json:"certificateFile"`
		KeyFile         string `json:"keyFile"`
	} `json:"operator"`
}

type told struct {
	EnrolledAs   string          `json:"enrolledAs"`
	IsNewToken   bool            `json:"isNewToken"`
	UsedToken    refusal.Refusal `json:"usedToken"`
	FirstCommand string          `json:"firstCommand"`
	Phases       []string        `json:"phases"`
	BadName      refusal.Refusal `json:"badName"`
}

func main() {
	log.SetFlags(0)
	var p plan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	t, err := tour(ctx, p)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(t); err != nil {
		log.Fatal(err)
	}
}

func tour(ctx context.Context, p plan) (*told, error) {
	serviceCA, err := os.ReadFile(p.ServiceCAFile)
	if err != nil {
		return nil, err
	}
	identity, err := enrol(ctx, p, serviceCA)
	if err != nil {
		return nil, err
	}
	t := &told{}
	if err := renew(ctx, p, serviceCA, identity, t); err != nil {
		return nil, err
	}
	return t, live(ctx, p, serviceCA, identity, t)
}

func enrol(ctx context.Context, p plan, serviceCA []byte) (*supervisor.Identity, error) {
	conn, err := p.Enrol.Open(serviceCA, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return supervisor.Enrol(ctx, conn, p.SandboxID, p.BootstrapToken)
}

func renew(ctx context.Context, p plan, serviceCA []byte, identity *supervisor.Identity, t *told) error {
	certificate := identity.Certificate()
	conn, err := p.Auth.Open(serviceCA, &certificate)
	if err != nil {
		return err
	}
	defer conn.Close()
	auth := authv1.NewAuthServiceClient(conn)
	used := identity.Token()
	principal, err := auth.GetPrincipal(supervisor.WithBearer(ctx, used), &authv1.GetPrincipalRequest{})
	if err != nil {
		return err
	}
	t.EnrolledAs = principal.GetSpiffeId()
	if err := identity.Refresh(ctx, conn); err != nil {
		return err
	}
	t.IsNewToken = identity.Token() != used
	_, err = auth.GetPrincipal(supervisor.WithBearer(ctx, used), &authv1.GetPrincipalRequest{})
	t.UsedToken = refusal.Of(err)
	return nil
}

// live connects as the supervisor and watches as the operator until the sandbox is READY.
func live(ctx context.Context, p plan, serviceCA []byte, identity *supervisor.Identity, t *told) error {
	renewed := identity.Certificate()
	asSupervisor, err := p.Sandbox.Open(serviceCA, &renewed)
	if err != nil {
		return err
	}
	defer asSupervisor.Close()
	operator, err := tls.LoadX509KeyPair(p.Operator.CertificateFile, p.Operator.KeyFile)
	if err != nil {
		return err
	}
	asOperator, err := p.Operator.Open(serviceCA, &operator)
	if err != nil {
		return err
	}
	defer asOperator.Close()

	commands, err := connect(supervisor.WithBearer(ctx, identity.Token()), asSupervisor, p)
	if err != nil {
		return err
	}
	first, err := commands.Recv()
	if err != nil {
		return err
	}
	t.FirstCommand = commandName(first)

	sandbox := sandboxv1.NewSandboxServiceClient(asOperator)
	if t.Phases, err = watchUntilReady(ctx, sandbox, p.SandboxID); err != nil {
		return err
	}
	_, err = sandbox.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{RequestId: p.RequestID, Name: "Not A Name"})
	t.BadName = refusal.Of(err)
	return nil
}

// connect says that the sandbox is up and confined, on a stream that lasts as long as its connection.
func connect(ctx context.Context, conn grpc.ClientConnInterface, p plan) (sandboxv1.SandboxService_ConnectSupervisorClient, error) {
	stream, err := sandboxv1.NewSandboxServiceClient(conn).ConnectSupervisor(ctx)
	if err != nil {
		return nil, err
	}
	hello := &sandboxv1.SupervisorHello{Incarnation: p.Incarnation, Version: "interop"}
	confinement := &sandboxv1.ConfinementReport{Checks: []*sandboxv1.ConfinementCheck{{Name: "network", Confined: true}}}
	for _, message := range []*sandboxv1.ConnectSupervisorRequest{
		{SandboxId: p.SandboxID, Message: &sandboxv1.ConnectSupervisorRequest_Hello{Hello: hello}},
		{SandboxId: p.SandboxID, Message: &sandboxv1.ConnectSupervisorRequest_Confinement{Confinement: confinement}},
	} {
		if err := stream.Send(message); err != nil {
			return nil, err
		}
	}
	return stream, nil
}

func commandName(response *sandboxv1.ConnectSupervisorResponse) string {
	message := response.ProtoReflect()
	command := message.WhichOneof(message.Descriptor().Oneofs().ByName("command"))
	if command == nil {
		return ""
	}
	return string(command.Name())
}

// watchUntilReady lists the phases that a sandbox goes through on its way to READY.
func watchUntilReady(ctx context.Context, sandbox sandboxv1.SandboxServiceClient, id string) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watching, err := sandbox.WatchSandbox(ctx, &sandboxv1.WatchSandboxRequest{Sandbox: id})
	if err != nil {
		return nil, err
	}
	var phases []string
	for {
		response, err := watching.Recv()
		if err != nil {
			return nil, err
		}
		phase := response.GetSandbox().GetPhase()
		phases = append(phases, phase.String())
		if phase == sandboxv1.Phase_PHASE_READY {
			return phases, nil
		}
	}
}
