package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/spf13/cobra"
)

func credentialCommand() *cobra.Command {
	return group("credential", "Credentials: a person's key, certificate and who may ask for signatures",
		grantCommand(), withdrawCommand(), revokeCommand(), unlockCommand(), credentialListCommand(), showCommand())
}

// operate makes a command run one call of an operator over the id in its argument; the call returns what to print.
func operate(c *cobra.Command, call func(ctx context.Context, conn *client.Conn, id string) (string, error)) *cobra.Command {
	var dir string
	c.Args = cobra.ExactArgs(1)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return with(dir, func(conn *client.Conn) error {
			text, err := call(cmd.Context(), conn, args[0])
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return err
		})
	}
	profile(c, &dir)
	return c
}

func grantCommand() *cobra.Command {
	var name string
	c := operate(&cobra.Command{
		Use: "grant CREDENTIAL", Short: "Let a document system ask for signatures with a credential",
		Long: `grant lets a document system ask for signatures with a credential. Each signature still needs the person's code.
Granting twice changes nothing. The client must be an operator.`,
		Example: "  ecsigner credential grant CREDENTIAL --to contracts",
	}, func(ctx context.Context, conn *client.Conn, id string) (string, error) {
		_, err := conn.Credential.GrantAccess(ctx, &pb.GrantAccessRequest{RequestId: client.RequestID(), CredentialId: id, Client: name})
		return fmt.Sprintf("%s may use %s", name, id), err
	})
	c.Flags().StringVar(&name, "to", "", "name of the document system (required)")
	_ = c.MarkFlagRequired("to")
	return c
}

func withdrawCommand() *cobra.Command {
	var name string
	c := operate(&cobra.Command{
		Use: "withdraw CREDENTIAL", Short: "End what grant began",
		Long: `withdraw ends the access of a document system to a credential. Operations that wait for their code can no longer be
authorised. Withdrawing twice changes nothing. The client must be an operator.`,
		Example: "  ecsigner credential withdraw CREDENTIAL --from contracts",
	}, func(ctx context.Context, conn *client.Conn, id string) (string, error) {
		_, err := conn.Credential.WithdrawAccess(ctx, &pb.WithdrawAccessRequest{RequestId: client.RequestID(), CredentialId: id, Client: name})
		return fmt.Sprintf("%s may no longer use %s", name, id), err
	})
	c.Flags().StringVar(&name, "from", "", "name of the document system (required)")
	_ = c.MarkFlagRequired("from")
	return c
}

// revocationReasons by the name that the command line gives them.
func revocationReasons() map[string]pb.RevocationReason {
	all := map[string]pb.RevocationReason{}
	for name, value := range pb.RevocationReason_value {
		if value != 0 {
			short := strings.TrimPrefix(name, "REVOCATION_REASON_")
			all[strings.ToLower(strings.ReplaceAll(short, "_", "-"))] = pb.RevocationReason(value)
		}
	}
	return all
}

func revokeCommand() *cobra.Command {
	reasons := revocationReasons()
	names := make([]string, 0, len(reasons))
	for name := range reasons {
		names = append(names, name)
	}
	slices.Sort(names)
	var reason string
	var sure bool
	c := operate(&cobra.Command{
		Use: "revoke CREDENTIAL", Short: "Revoke a credential's certificate, for ever",
		Long: `revoke ends a credential at once: nothing is signed with it any more, its key is destroyed, the revocation list names
its certificate, and the person is told. There is no way back. Where only the key is to be destroyed, the reason is
cessation-of-operation. The client must be an operator or officer.`,
		Example: "  ecsigner credential revoke CREDENTIAL --reason key-compromise --yes",
	}, func(ctx context.Context, conn *client.Conn, id string) (string, error) {
		value, ok := reasons[reason]
		if !ok {
			return "", fmt.Errorf("reason %q is unknown; use one of %s", reason, strings.Join(names, ", "))
		}
		if !sure {
			return "", fmt.Errorf("revocation of %s cannot be undone; repeat the command with --yes", id)
		}
		_, err := conn.Credential.RevokeCredential(ctx, &pb.RevokeCredentialRequest{RequestId: client.RequestID(), CredentialId: id, Reason: value})
		return id + " is revoked", err
	})
	c.Flags().StringVar(&reason, "reason", "", "why, as the revocation list says it: "+strings.Join(names, ", ")+" (required)")
	c.Flags().BoolVar(&sure, "yes", false, "you know that this cannot be undone")
	_ = c.MarkFlagRequired("reason")
	return c
}

func unlockCommand() *cobra.Command {
	var name string
	c := operate(&cobra.Command{
		Use: "unlock ACCOUNT", Short: "Let codes be tried again after too many wrong ones",
		Long: `unlock ends the lock that wrong codes put on a credential or on an enrolment: for one client, or the lock for all
clients. Ask first who typed wrong codes, and why. The client must be an operator.`,
		Example: "  ecsigner credential unlock CREDENTIAL --for contracts",
	}, func(ctx context.Context, conn *client.Conn, id string) (string, error) {
		_, err := conn.Admin.Unlock(ctx, &pb.UnlockRequest{RequestId: client.RequestID(), Account: id, Client: name})
		if name == "" {
			return id + " is no longer locked for all clients", err
		}
		return fmt.Sprintf("%s is no longer locked for %s", id, name), err
	})
	c.Flags().StringVar(&name, "for", "", "name of the client for which it is locked (default the lock for all clients)")
	return c
}

func credentialListCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "list", Short: "List the credentials that this client may see",
		Long: `list prints id, status and last day of the first 100 credentials: for a document system of those that it was granted,
for an operator or officer of all.`,
		Example: "  ecsigner credential list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(dir, func(c *client.Conn) error {
				r, err := c.Credential.ListCredentials(cmd.Context(), &pb.ListCredentialsRequest{PageSize: 100})
				for _, k := range r.GetCredentials() {
					fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  valid to %s\n", k.GetId(),
						strings.ToLower(strings.TrimPrefix(k.GetStatus().String(), "CREDENTIAL_STATUS_")),
						k.GetValidToTime().AsTime().Format(time.DateOnly))
				}
				return err
			})
		},
	}
	profile(c, &dir)
	return c
}

// wordOf is a value of the proto as the command line writes it: CREDENTIAL_STATUS_REVOKED is revoked.
func wordOf(value, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(value, prefix), "_", "-"))
}

func showCommand() *cobra.Command {
	return operate(&cobra.Command{
		Use: "show CREDENTIAL", Short: "Show one credential",
		Long: `show prints what is known of a credential: status, certificate, validity and, once it is revoked, when and why. A
document system sees only what it was granted, an operator or officer all.`,
		Example: "  ecsigner credential show CREDENTIAL",
	}, func(ctx context.Context, conn *client.Conn, id string) (string, error) {
		r, err := conn.Credential.GetCredential(ctx, &pb.GetCredentialRequest{CredentialId: id})
		k := r.GetCredential()
		text := fmt.Sprintf("credential   %s\nstatus       %s\ncertificate  %s\nvalid        %s to %s", k.GetId(),
			wordOf(k.GetStatus().String(), "CREDENTIAL_STATUS_"), k.GetSerial(),
			k.GetValidFromTime().AsTime().Format(time.DateOnly), k.GetValidToTime().AsTime().Format(time.DateOnly))
		if k.GetRevokeTime() != nil {
			text += fmt.Sprintf("\nrevoked      %s, %s", k.GetRevokeTime().AsTime().Format(time.RFC3339),
				wordOf(k.GetRevocationReason().String(), "REVOCATION_REASON_"))
		}
		return text, err
	})
}
