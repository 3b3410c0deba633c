// Text form of graphs:
//   graph NAME { statement* }
//   statement = "input" NAME ":" type rate
//             | "const" NAME ":" type
//             | "output" NAME "=" NAME
//             | NAME ("," NAME)* "=" OP "(" operands ")" ["{" KEY "=" value, ... "}"]
//               [":" type ("," type)* rate]      checked against what the op's rule gives
//   operand   = NAME | "_" (absent);  trailing absent operands are left out
#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "graph/graph.h"
#include "graph/text_lexer.h"

namespace octavo {
namespace {

constexpr size_t kMaxRank = 16;

class GraphParser {
 public:
  GraphParser(std::string_view text, std::string_view where) : lexer_(text, where) {}

  Graph parse() {
    if (!lexer_.take_keyword("graph")) lexer_.fail("expected 'graph'");
    graph_.name = lexer_.peek('"') ? lexer_.quoted() : lexer_.name();
    lexer_.expect('{');
    while (!lexer_.take('}')) statement();
    if (!lexer_.at_end()) lexer_.fail("expected the end after '}'");
    return std::move(graph_);
  }

 private:
  // Runs `body`; its errors get the position of the statement they belong to.
  template <class F>
  auto located(size_t position, F&& body) {
    try {
      return body();
    } catch (const Error& error) {
      lexer_.fail(position, error.what());
    }
  }

  void statement() {
    const size_t begin = lexer_.position();
    if (lexer_.take_keyword("input")) return input(begin);
    if (lexer_.take_keyword("const")) return constant(begin);
    if (lexer_.take_keyword("output")) return output(begin);
    node(begin);
  }

  void input(size_t begin) {
    const std::string name = lexer_.name();
    lexer_.expect(':');
    ValueType value_type = type();
    const Rate value_rate = rate();
    located(begin, [&] {
      graph_.add_input(name, value_type.dtype, std::move(value_type.shape), value_rate);
    });
  }

  void constant(size_t begin) {
    const std::string name = lexer_.name();
    lexer_.expect(':');
    const ValueType value_type = type();
    located(begin, [&] {
      OCTAVO_CHECK(is_constant(value_type.shape), "constant '{}' has symbols in its shape {}", name,
                   to_string(value_type.shape));
      const Shape shape = evaluate(value_type.shape, {});
      graph_.add_constant(name, Tensor::typed(value_type.dtype, shape));
    });
  }

  void output(size_t begin) {
    const std::string name = lexer_.name();
    lexer_.expect('=');
    const ValueId id = value();
    located(begin, [&] { graph_.add_output(name, id); });
  }

  void node(size_t begin) {
    std::vector<std::string> names{lexer_.name()};
    while (lexer_.take(',')) names.push_back(lexer_.name());
    lexer_.expect('=');
    const size_t op_at = lexer_.position();
    const std::string op_name = lexer_.bare();
    const std::optional<Op> op = find_op(op_name);
    if (!op) lexer_.fail(op_at, fmt::format("there is no op '{}'", op_name));
    std::vector<ValueId> inputs = operands();
    const Attrs attrs = attributes(info(*op));
    const auto outputs =
        located(begin, [&] { return graph_.add_named(*op, std::move(inputs), attrs, names); });
    if (lexer_.take(':')) check_annotation(outputs);
  }

  std::vector<ValueId> operands() {
    std::vector<ValueId> result;
    lexer_.expect('(');
    if (lexer_.take(')')) return result;
    do {
      result.push_back(lexer_.take_keyword("_") ? kNoValue : value());
    } while (lexer_.take(','));
    lexer_.expect(')');
    return result;
  }

  void check_annotation(const std::vector<ValueId>& outputs) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (i > 0) lexer_.expect(',');
      const size_t at = lexer_.position();
      const ValueType said = type();
      const Value& v = graph_.value(outputs[i]);
      if (!(said == v.type)) {
        lexer_.fail(at, fmt::format("'{}' is said to be {}, but the op gives {}", v.name,
                                    to_string(said), to_string(v.type)));
      }
    }
    const size_t at = lexer_.position();
    const Rate said = rate(), found = graph_.value(outputs.front()).rate;
    if (said != found) {
      lexer_.fail(at, fmt::format("the rate is said to be {}, but the operands give {}",
                                  octavo::name(said), octavo::name(found)));
    }
  }

  ValueId value() {
    const size_t at = lexer_.position();
    const std::string name = lexer_.name();
    const std::optional<ValueId> id = graph_.find(name);
    if (!id) lexer_.fail(at, fmt::format("there is no value '{}' above", name));
    return *id;
  }

  ValueType type() {
    const size_t at = lexer_.position();
    const std::string name = lexer_.bare();
    const std::optional<DType> dtype = find_dtype(name);
    if (!dtype) lexer_.fail(at, fmt::format("there is no element type '{}'", name));
    SymShape shape = dims();
    for (const Dim& dim : shape) {
      if (dim.is_constant() && dim.value() < 0) lexer_.fail(at, "an extent is negative");
    }
    return {*dtype, std::move(shape)};
  }

  Rate rate() {
    const size_t at = lexer_.position();
    const std::string name = lexer_.bare();
    const std::optional<Rate> result = find_rate(name);
    if (!result) {
      lexer_.fail(at, fmt::format("there is no rate '{}'; rates are model request schedule "
                                  "trajectory step",
                                  name));
    }
    return *result;
  }

  Dim dim(std::string_view stops) {
    const size_t at = lexer_.position();
    const std::string raw = lexer_.until(stops);
    return located(at, [&] { return Dim::parse(raw); });
  }

  SymShape dims() {
    SymShape result;
    lexer_.expect('[');
    if (lexer_.take(']')) return result;
    do {
      if (result.size() == kMaxRank) lexer_.fail(fmt::format("more than {} axes", kMaxRank));
      result.push_back(dim(",]"));
    } while (lexer_.take(','));
    lexer_.expect(']');
    return result;
  }

  Attrs attributes(const OpInfo& op) {
    Attrs result;
    if (!lexer_.take('{') || lexer_.take('}')) return result;
    do {
      const size_t at = lexer_.position();
      const std::string key = lexer_.bare();
      const auto row = std::find_if(op.attrs.begin(), op.attrs.end(),
                                    [&](const AttrInfo& a) { return key == a.name; });
      if (row == op.attrs.end()) {
        lexer_.fail(at, fmt::format("{} has no attribute '{}'", op.name, key));
      }
      if (result.has(key)) lexer_.fail(at, fmt::format("attribute '{}' is given twice", key));
      lexer_.expect('=');
      result.set(key, attribute(row->type));
    } while (lexer_.take(','));
    lexer_.expect('}');
    return result;
  }

  Attr attribute(AttrType attr_type) {
    switch (attr_type) {
      case AttrType::boolean: {
        if (lexer_.take_keyword("true")) return true;
        if (lexer_.take_keyword("false")) return false;
        lexer_.fail("expected true or false");
      }
      case AttrType::integer:
        return number<int64_t>();
      case AttrType::real:
        return number<double>();
      case AttrType::text:
        return lexer_.quoted();
      case AttrType::integers:
        return integers();
      case AttrType::dims:
        return dims();
      case AttrType::dim:
        return dim(",}");
    }
    OCTAVO_ASSERT(false);
  }

  std::vector<int64_t> integers() {
    std::vector<int64_t> result;
    lexer_.expect('[');
    if (lexer_.take(']')) return result;
    do {
      result.push_back(number<int64_t>());
    } while (lexer_.take(','));
    lexer_.expect(']');
    return result;
  }

  template <class N>
  N number() {
    const size_t at = lexer_.position();
    const std::string raw = lexer_.until(",]}");
    N value{};
    const auto [stop, status] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
    if (status != std::errc() || stop != raw.data() + raw.size()) {
      lexer_.fail(at, fmt::format("expected {}, found '{}'",
                                  std::is_same_v<N, double> ? "a number" : "an integer", raw));
    }
    return value;
  }

  text::Lexer lexer_;
  Graph graph_;
};

}  // namespace

Graph parse_graph(std::string_view text, std::string_view where) {
  return GraphParser(text, where).parse();
}

}  // namespace octavo
