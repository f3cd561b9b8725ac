// A stand-in for a Terraform provider that knows what its resources look like and makes none of them. The schema is read
// from schema.json beside the program, in the form that `terraform providers schema -json` prints.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// What is not answered below is nil and ends the program: nothing here can act.
type provider struct {
	tfprotov5.ProviderServer
	schema *tfprotov5.GetProviderSchemaResponse
}

func (p provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	return p.schema, nil
}

func (provider) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

// Terraform has held the configuration to the schema before it asks: there is nothing to add.
func (provider) PrepareProviderConfig(_ context.Context, asked *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: asked.Config}, nil
}

func (provider) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

type block struct {
	Attributes map[string]struct {
		Type                         any
		Required, Optional, Computed bool
	}
	BlockTypes map[string]struct {
		NestingMode string `json:"nesting_mode"`
		MinItems    int64  `json:"min_items"`
		MaxItems    int64  `json:"max_items"`
		Block       block
	} `json:"block_types"`
}

type schema struct{ Block block }

func (s schema) served() *tfprotov5.Schema {
	return &tfprotov5.Schema{Block: s.Block.served()}
}

func (b block) served() *tfprotov5.SchemaBlock {
	served := &tfprotov5.SchemaBlock{}
	for name, it := range b.Attributes {
		served.Attributes = append(served.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: typeOf(it.Type), Required: it.Required, Optional: it.Optional, Computed: it.Computed,
		})
	}
	modes := map[string]tfprotov5.SchemaNestedBlockNestingMode{
		"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
		"list":   tfprotov5.SchemaNestedBlockNestingModeList,
		"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
	}
	for name, it := range b.BlockTypes {
		served.BlockTypes = append(served.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Nesting: modes[it.NestingMode], MinItems: it.MinItems, MaxItems: it.MaxItems, Block: it.Block.served(),
		})
	}
	return served
}

// "string", ["list", "string"], ["object", {"name": "string"}]
func typeOf(said any) tftypes.Type {
	switch said := said.(type) {
	case string:
		return map[string]tftypes.Type{"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool}[said]
	case []any:
		switch said[0] {
		case "list":
			return tftypes.List{ElementType: typeOf(said[1])}
		case "set":
			return tftypes.Set{ElementType: typeOf(said[1])}
		case "map":
			return tftypes.Map{ElementType: typeOf(said[1])}
		case "object":
			members := map[string]tftypes.Type{}
			for name, member := range said[1].(map[string]any) {
				members[name] = typeOf(member)
			}
			return tftypes.Object{AttributeTypes: members}
		}
	}
	panic(fmt.Sprintf("no type: %v", said))
}

func read() (*tfprotov5.GetProviderSchemaResponse, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(program), "schema.json"))
	if err != nil {
		return nil, err
	}
	var said struct {
		Provider    schema
		Resources   map[string]schema `json:"resource_schemas"`
		DataSources map[string]schema `json:"data_source_schemas"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	served := &tfprotov5.GetProviderSchemaResponse{
		Provider:          said.Provider.served(),
		ResourceSchemas:   map[string]*tfprotov5.Schema{},
		DataSourceSchemas: map[string]*tfprotov5.Schema{},
	}
	for name, it := range said.Resources {
		served.ResourceSchemas[name] = it.served()
	}
	for name, it := range said.DataSources {
		served.DataSourceSchemas[name] = it.served()
	}
	return served, nil
}

func main() {
	schema, err := read()
	if err == nil {
		err = tf5server.Serve("registry.terraform.io/hashicorp/google", func() tfprotov5.ProviderServer {
			return provider{schema: schema}
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
