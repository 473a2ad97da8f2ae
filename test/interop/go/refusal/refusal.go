// Package refusal reads why a call was refused: the google.rpc.ErrorInfo that every error of Sandgate carries.
package refusal

import (
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// Refusal is what became of a call. Reason is empty where the connection itself was refused: then nobody answered.
type Refusal struct {
	Code     string            `json:"code"`
	Reason   string            `json:"reason"`
	Domain   string            `json:"domain"`
	Metadata map[string]string `json:"metadata"`
}

// Of reads the error of a call; a nil error is a Refusal with the code OK.
func Of(err error) Refusal {
	status := status.Convert(err)
	refusal := Refusal{Code: code.Code(status.Code()).String()}
	for _, detail := range status.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			refusal.Reason, refusal.Domain, refusal.Metadata = info.GetReason(), info.GetDomain(), info.GetMetadata()
		}
	}
	return refusal
}
