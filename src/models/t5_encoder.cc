// T5EncoderModel, version 1.1 (transformers models/t5/modeling_t5.py): RMS norms, no biases, no
// 1/sqrt(d) in attention, one table of relative position biases shared by all layers, gated GELU.
#include "models/t5_encoder.h"

#include "base/check.h"
#include "models/builder.h"

namespace octavo {
namespace {

constexpr int64_t kMaxWidth = 1 << 20, kMaxLayers = 512;

struct T5Config {
  int64_t vocab, dim, ff, layers, heads, head_dim, buckets, max_distance;
  double eps;
  int64_t inner() const { return heads * head_dim; }

  static T5Config read(const Config& config);
};

class T5Builder {
 public:
  T5Builder(const T5Config& config, const WeightStore* weights)
      : c_(config), b_("T5EncoderModel", "forward", weights) {}

  Graph build() {
    const ValueId ids = b_.input("input_ids", DType::i64, {batch_, tokens_}, Rate::request);
    const ValueId mask = b_.input("attention_mask", DType::i64, {batch_, tokens_}, Rate::request);
    ValueId x = embed(ids);
    const ValueId blocked = b_.op(Op::mask_bias, {mask}, {}, "encoder.mask");
    for (int64_t i = 0; i < c_.layers; ++i) {
      const Builder::Scope scope = b_.scope("encoder.block." + std::to_string(i));
      x = feed_forward(attention(x, blocked));
      b_.tap(position_, ":1");
    }
    b_.output("last_hidden_state", b_.rms_norm(x, "encoder.final_layer_norm", c_.dim, c_.eps));
    return b_.take();
  }

 private:
  ValueId embed(ValueId ids) {
    const ValueId table = b_.weight("shared.weight", {c_.vocab, c_.dim});
    return lookup(Op::embedding, {table, ids}, {}, "encoder.embed_tokens");
  }

  // A lookup has its table's type, which may be narrower than what is computed with.
  ValueId lookup(Op op, std::vector<ValueId> operands, const Attrs& attrs, std::string_view name) {
    if (b_.dtype(operands[0]) == DType::f32) return b_.op(op, std::move(operands), attrs, name);
    const ValueId found = b_.op(op, std::move(operands), attrs, std::string(name) + ".stored");
    return b_.op(Op::cast, {found}, {{"to", std::string("f32")}}, name);
  }

  // Layer 0 of a block; x + attention(norm(x)).
  ValueId attention(ValueId x, ValueId blocked) {
    const Builder::Scope scope = b_.scope("layer.0");
    const ValueId y = b_.rms_norm(x, "layer_norm", c_.dim, c_.eps);
    return b_.add(x, self_attention(y, blocked), ":0");
  }

  ValueId self_attention(ValueId x, ValueId blocked) {
    const Builder::Scope scope = b_.scope("SelfAttention");
    if (position_ == kNoValue) {
      position_ = position_bias(x);
      bias_ = b_.add(position_, blocked, "bias");
    }
    const auto heads = [&](const char* name) {
      const ValueId y = b_.linear(x, name, c_.dim, c_.inner(), false);
      return b_.reshape(y, {batch_, tokens_, c_.heads, c_.head_dim}, std::string(name) + ".heads");
    };
    const ValueId q = heads("q"), k = heads("k"), v = heads("v");
    const ValueId y = b_.attention(q, k, v, 1.0, bias_);
    const ValueId flat = b_.reshape(y, {batch_, tokens_, c_.inner()}, "attention.flat");
    const ValueId result = b_.linear(flat, "o", c_.inner(), c_.dim, false);
    b_.tap(result, ":0");
    return result;
  }

  ValueId position_bias(ValueId like) {
    const ValueId table = b_.weight("relative_attention_bias.weight", {c_.buckets, c_.heads});
    return lookup(Op::relative_position_bias, {table, like},
                  {{"max_distance", c_.max_distance}, {"bidirectional", true}}, ":1");
  }

  // Layer 1 of a block: x + wo(gelu(wi_0 y) * wi_1 y), y = norm(x).
  ValueId feed_forward(ValueId x) {
    const ValueId y = b_.rms_norm(x, "layer.1.layer_norm", c_.dim, c_.eps);
    const ValueId result = b_.add(x, dense(y), ":0");
    b_.tap(result, "layer.1");
    return result;
  }

  ValueId dense(ValueId x) {
    const Builder::Scope scope = b_.scope("layer.1.DenseReluDense");
    const ValueId gate = b_.gelu_tanh(b_.linear(x, "wi_0", c_.dim, c_.ff, false), "act");
    const ValueId value = b_.linear(x, "wi_1", c_.dim, c_.ff, false);
    const ValueId result = b_.linear(b_.mul(gate, value, "gated"), "wo", c_.ff, c_.dim, false);
    b_.tap(result, "");
    return result;
  }

  const Dim batch_ = Dim::symbol("B"), tokens_ = Dim::symbol("S");
  T5Config c_;
  Builder b_;
  // Of layer 0, shared: relative positions alone, and with the mask.
  ValueId position_ = kNoValue, bias_ = kNoValue;
};

T5Config T5Config::read(const Config& config) {
  T5Config c{};
  c.vocab = config.get_int("vocab_size", 1, int64_t{1} << 31);
  c.dim = config.get_int("d_model", 1, kMaxWidth);
  c.ff = config.get_int("d_ff", 1, kMaxWidth);
  c.layers = config.get_int("num_layers", 1, kMaxLayers);
  c.heads = config.get_int("num_heads", 1, 4096);
  c.head_dim = config.get_int("d_kv", 1, 65536);
  c.buckets = config.get_int_or("relative_attention_num_buckets", 32, 4, 65536);
  c.max_distance =
      config.get_int_or("relative_attention_max_distance", 128, c.buckets / 4 + 1, kMaxWidth);
  c.eps = config.get_double_or("layer_norm_epsilon", 1e-6, 0, 0.1);
  if (c.buckets % 4 != 0) config.fail("relative_attention_num_buckets", "a multiple of 4");
  config.get_choice("feed_forward_proj", {"gated-gelu"});
  if (config.has("dense_act_fn")) config.get_choice("dense_act_fn", {"gelu_new"});
  if (!config.get_bool_or("is_gated_act", true)) config.fail("is_gated_act", "true");
  if (config.get_bool_or("is_decoder", false)) config.fail("is_decoder", "false: an encoder");
  return c;
}

}  // namespace

Graph build_t5_encoder(const Config& config, const WeightStore* weights, std::string_view) {
  return T5Builder(T5Config::read(config), weights).build();
}

}  // namespace octavo
