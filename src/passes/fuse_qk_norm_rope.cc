// Norm of queries and keys per head, then rotation:
//   n = rms_norm(x, w); y = rope(n, cos, sin)   ->   y = qk_norm_rope(x, w, cos, sin)
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {

Graph fuse_qk_norm_rope(const Graph& graph) {
  const Pattern pattern(graph);
  return rewrite_nodes(graph, [&](GraphRebuilder& rebuilder, const Node& node) {
    if (node.op != Op::rope || !pattern.vanishes(node.inputs[0])) return false;
    const Node* norm = pattern.made_by(node.inputs[0], {Op::rms_norm});
    if (!norm || norm->inputs[1] == kNoValue) return false;
    replace(rebuilder, graph, node, Op::qk_norm_rope,
            map_all(rebuilder, {norm->inputs[0], norm->inputs[1], node.inputs[1], node.inputs[2]}),
            norm->attrs);
    return true;
  });
}

}  // namespace octavo
