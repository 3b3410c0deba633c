#include "quant/attention_plan.h"

#include "base/check.h"

namespace octavo {
namespace {

bool is_static(const QuantSpec& spec) { return spec.timing == QuantSpec::Timing::static_; }

}  // namespace

std::string attention_operand(const std::string& attention, const char* operand) {
  return fmt::format("{}.attention.{}", attention, operand);
}

bool is_static(const AttentionScheme& scheme) {
  return is_static(scheme.q) || is_static(scheme.k) || is_static(scheme.v);
}

std::string obstacle(const LayerWords& how, const AttentionScheme& scheme) {
  LayerWords allowed;
  allowed.solver = how.solver;
  if (how != allowed || find_solver(how.solver).wants_metric) {
    return fmt::format("attention can have solver (not output), not '{}'", how.text());
  }
  if (how.solver != Solver{} && !is_static(scheme)) {
    return fmt::format("solver={} has nothing to solve: '{}' has no static operand; leave it out",
                       how.solver.text(), scheme.text());
  }
  return {};
}

std::map<std::string, QuantizedAttention> plan_attentions(const Coverage& coverage,
                                                          const Stats* stats) {
  std::map<std::string, QuantizedAttention> attentions;
  for (const AttentionRow& row : coverage.attentions) {
    if (!row.scheme) continue;
    const auto scale = [&](const QuantSpec& spec, const char* operand) {
      if (!is_static(spec)) return Tensor();
      return solve_scale(*stats, attention_operand(row.name(), operand), spec, row.how.solver);
    };
    attentions[row.name()] = {*row.scheme, scale(row.scheme->q, "q"), scale(row.scheme->k, "k"),
                              scale(row.scheme->v, "v")};
  }
  return attentions;
}

}  // namespace octavo
