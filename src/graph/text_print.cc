#include "base/check.h"
#include "graph/graph.h"
#include "graph/text_names.h"

namespace octavo {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string name_text(std::string_view name) {
  return text::is_bare_name(name) ? std::string(name) : quoted(name);
}

struct AttrPrinter {
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(int64_t v) const { return std::to_string(v); }
  std::string operator()(double v) const {
    const std::string text = fmt::format("{}", v);  // the shortest that reads back the same
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
  }
  std::string operator()(const std::string& v) const { return quoted(v); }
  std::string operator()(const std::vector<int64_t>& v) const {
    return fmt::format("[{}]", fmt::join(v, ", "));
  }
  std::string operator()(const SymShape& v) const { return to_string(v); }
  std::string operator()(const Dim& v) const { return v.text(); }
};

std::string attrs_text(const Attrs& attrs) {
  std::string out;
  for (const auto& [key, attr] : attrs.map()) {
    out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", key, std::visit(AttrPrinter(), attr));
  }
  return out.empty() ? out : " {" + out + "}";
}

std::string node_text(const Graph& graph, const Node& node) {
  std::vector<std::string> names, types, operands;
  for (ValueId id : node.outputs) {
    names.push_back(name_text(graph.value(id).name));
    types.push_back(to_string(graph.value(id).type));
  }
  size_t count = node.inputs.size();
  while (count > 0 && node.inputs[count - 1] == kNoValue) --count;
  for (size_t i = 0; i < count; ++i) {
    const ValueId id = node.inputs[i];
    operands.push_back(id == kNoValue ? "_" : name_text(graph.value(id).name));
  }
  return fmt::format("  {} = {}({}){} : {} {}\n", fmt::join(names, ", "), name(node.op),
                     fmt::join(operands, ", "), attrs_text(node.attrs), fmt::join(types, ", "),
                     name(graph.value(node.outputs.front()).rate));
}

}  // namespace

std::string to_text(const Graph& graph) {
  std::string out = fmt::format("graph {} {{\n", name_text(graph.name));
  for (ValueId id : graph.inputs()) {
    const Value& v = graph.value(id);
    out += fmt::format("  input {}: {} {}\n", name_text(v.name), to_string(v.type), name(v.rate));
  }
  for (const Value& v : graph.values()) {
    if (v.constant) out += fmt::format("  const {}: {}\n", name_text(v.name), to_string(v.type));
  }
  for (const Node& node : graph.nodes()) out += node_text(graph, node);
  for (const Graph::Output& output : graph.outputs()) {
    out += fmt::format("  output {} = {}\n", name_text(output.name),
                       name_text(graph.value(output.value).name));
  }
  return out + "}\n";
}

}  // namespace octavo
