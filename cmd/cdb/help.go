package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// usageTemplate is the lower part of the help of each command.
const usageTemplate = `Usage:
  {{.UseLine}}
{{- if .HasAvailableSubCommands}}
{{- $root := .}}
{{- range .Groups}}

{{.Title}}
{{- $group := .ID}}
{{- range $root.Commands}}{{if and .IsAvailableCommand (eq .GroupID $group)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{- end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasAvailableInheritedFlags}}

Flags of all commands:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasExample}}

Examples:
{{.Example}}
{{- end}}
`

// helpCommand is "cdb help", which cobra's own does without an error for what
// is no command.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Long:  "Explain a command, as its flag --help does.",
		Args:  arguments(0, 1, "one command"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, c.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			about := cmd.Root()
			for _, c := range about.Commands() {
				if len(args) > 0 && c.Name() == args[0] {
					about = c
				}
			}
			if len(args) > 0 && about == cmd.Root() {
				return knownCommand(about, args)
			}
			about.InitDefaultHelpFlag()
			about.InitDefaultVersionFlag()
			return about.Help()
		},
	}
}

// completionCommand prints what a shell needs to complete commands, flags and
// names of images.
func (a *app) completionCommand() *cobra.Command {
	shells := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(a.stdout, true) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(a.stdout, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(a.stdout) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(a.stdout) },
	}
	names := slices.Sorted(maps.Keys(shells))
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print what a shell needs to complete commands",
		Long: `Print a script that makes a shell complete commands, flags and the names of
images. SHELL is bash, fish, powershell or zsh.`,
		Example: `  source <(cdb completion bash)
  cdb completion fish > ~/.config/fish/completions/cdb.fish
  cdb completion zsh > "${fpath[1]}/_cdb"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || shells[args[0]] == nil {
				return usagef("completion: give a shell: %s", strings.Join(names, ", "))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return shells[args[0]](cmd.Root()) },
	}
}
