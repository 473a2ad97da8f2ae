// Whoami prints who an operator's certificate makes you.
//
//	whoami ADDRESS PKI_DIRECTORY
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	authv1 "sandgate.dev/interop/gen/sandgate/auth/v1"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: whoami ADDRESS PKI_DIRECTORY")
	}
	spiffeID, err := whoami(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(spiffeID)
}

func whoami(address, directory string) (string, error) {
	ca, err := os.ReadFile(filepath.Join(directory, "service-ca.pem"))
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	operator, err := tls.LoadX509KeyPair(filepath.Join(directory, "operator.pem"), filepath.Join(directory, "operator.key.pem"))
	if err != nil {
		return "", err
	}
	transport := credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{operator}})
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	principal, err := authv1.NewAuthServiceClient(conn).GetPrincipal(ctx, &authv1.GetPrincipalRequest{})
	return principal.GetSpiffeId(), err
}
