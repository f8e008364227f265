package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/data-containers/cdb/internal/recipe"
	"github.com/data-containers/cdb/internal/ui"
)

//go:generate sh -c "go run . docs >../../docs/commands.md.tmp && mv ../../docs/commands.md.tmp ../../docs/commands.md"
//go:generate sh -c "go run . docs --metadata >../../docs/metadata.md.tmp && mv ../../docs/metadata.md.tmp ../../docs/metadata.md"
//go:generate sh -c "go run . docs --schema >../../docs/cdb.schema.json.tmp && mv ../../docs/cdb.schema.json.tmp ../../docs/cdb.schema.json"

func (a *app) docsCommand() *cobra.Command {
	schema, metadata := false, false
	cmd := &cobra.Command{
		Use:               "docs",
		Short:             "Print the reference of all commands in Markdown",
		Hidden:            true,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if schema {
				_, err := a.stdout.Write(recipe.Schema())
				return err
			}
			if metadata {
				return writeMetadataDocs(a.stdout)
			}
			return writeDocs(a.stdout, cmd.Root())
		},
	}
	cmd.Flags().BoolVar(&metadata, "metadata", false, "print the reference of all metadata instead")
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of recipes instead")
	return cmd
}

// writeDocs prints the help of all commands.
func writeDocs(w io.Writer, root *cobra.Command) error {
	var b strings.Builder
	b.WriteString("# Commands\n\nThis page is made from the help of the commands by `make docs`.\n")
	for _, c := range append([]*cobra.Command{root}, root.Commands()...) {
		if c.IsAvailableCommand() && c.Name() != "help" && c.Name() != "completion" || c == root {
			c.InitDefaultHelpFlag()
			c.InitDefaultVersionFlag()
			writeDoc(&b, c)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeDoc(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n", c.CommandPath(), c.Short)
	fmt.Fprintf(b, "```\n%s\n\n%s\n```\n", c.UseLine(), c.Long)
	if flags := c.LocalFlags(); flags.HasAvailableFlags() {
		writeFlags(b, flags)
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```sh\n%s\n```\n", strings.ReplaceAll(c.Example[2:], "\n  ", "\n"))
	}
	if c.HasAvailableSubCommands() {
		var rows [][]string
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				rows = append(rows, []string{sub.Name(), sub.Short})
			}
		}
		b.WriteString("\nCommands:\n\n```\n")
		_ = ui.Table(b, nil, rows) // a Builder takes all
		b.WriteString("```\n")
	}
}

func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	fmt.Fprintf(b, "\nFlags:\n\n```\n%s```\n", flags.FlagUsages())
}
