package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/ui"
)

func (a *app) loginCommand() *cobra.Command {
	user, fromStdin := "", false
	cmd := &cobra.Command{
		Use:   "login HOST [-u NAME] [--password-stdin]",
		Short: "Keep a name and a password for a registry",
		Long: `Try a name and a password (or a token) at a registry and, if it takes them, keep
them where Docker does: in its config.json, or the credential helper that this
names. What Docker and Podman know of a registry cdb knows too.`,
		Example: `  cdb login ghcr.io -u me
  echo "$TOKEN" | cdb login ghcr.io -u me --password-stdin`,
		Args:              arguments(1, 1, "the HOST of a registry"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.login(cmd.Context(), args[0], user, fromStdin)
		},
	}
	cmd.Flags().StringVarP(&user, "username", "u", "", "the `name`; asked for on a terminal if it is not given")
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from stdin")
	return cmd
}

func (a *app) login(ctx context.Context, host, user string, fromStdin bool) error {
	host = registryHost(host)
	terminal := ui.IsTerminal(os.Stdin)
	if !fromStdin && !terminal {
		return usageError("login: stdin is no terminal: give the password with --password-stdin")
	}
	if user == "" && (fromStdin || !terminal) {
		return usageError("login: give the name with -u")
	}
	in := bufio.NewReader(os.Stdin)
	if user == "" {
		fmt.Fprint(a.stderr, "Username: ")
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("log in to %s: read name: %w", host, err)
		}
		user = strings.TrimSpace(line)
	}
	password, err := a.password(in, fromStdin)
	if err != nil {
		return fmt.Errorf("log in to %s: read password: %w", host, err)
	}
	r, err := a.reach()
	if err != nil {
		return err
	}
	err = r.client.Login(ctx, host, user, password)
	if errors.Is(err, registry.ErrDenied) {
		return fmt.Errorf("%v: it does not take this name and password", err)
	}
	if err != nil {
		return err
	}
	a.talk.Note("logged in to %s as %s", host, user)
	return nil
}

// password reads a password, from a terminal without showing it.
func (a *app) password(in *bufio.Reader, fromStdin bool) (string, error) {
	if fromStdin {
		const longest = 64 << 10
		b, err := io.ReadAll(io.LimitReader(in, longest))
		if err == nil && len(b) == 0 {
			err = errors.New("stdin is empty")
		}
		return strings.TrimRight(string(b), "\r\n"), err
	}
	fmt.Fprint(a.stderr, "Password: ")
	defer fmt.Fprintln(a.stderr)
	return ui.ReadPassword(os.Stdin)
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout HOST",
		Short: "Forget the password for a registry",
		Long: `Forget the name and the password that "cdb login" or "docker login" kept for a
registry.`,
		Example:           "  cdb logout ghcr.io",
		Args:              arguments(1, 1, "the HOST of a registry"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			host := registryHost(args[0])
			r, err := a.reach()
			if err != nil {
				return err
			}
			had, err := r.client.Logout(cmd.Context(), host)
			if err != nil {
				return err
			}
			if !had {
				a.talk.Note("nothing was kept for %s", host)
			}
			return nil
		},
	}
}

// registryHost takes the host out of what people write.
func registryHost(s string) string {
	for _, scheme := range []string{"https://", "http://", "docker://"} {
		s = strings.TrimPrefix(s, scheme)
	}
	host, _, _ := strings.Cut(s, "/")
	return host
}
