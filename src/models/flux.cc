// FluxTransformer2DModel (diffusers models/transformers/transformer_flux.py). Double-stream blocks
// keep picture and text tokens apart except in attention, single-stream blocks run over their
// concatenation, text first. Every block is modulated by the embedding of timestep, guidance and
// pooled text:  y = layer_norm(x) (1 + scale) + shift,  x += gate * f(y).
#include "models/flux.h"

#include <cmath>
#include <numeric>

#include "base/check.h"
#include "models/builder.h"

namespace octavo {
namespace {

constexpr double kEps = 1e-6, kTheta = 10000;
constexpr int64_t kMlpRatio = 4, kSinusoid = 256;
constexpr int64_t kMaxWidth = 1 << 20, kMaxLayers = 512;

// A token stream, [B, tokens, dim].
struct Stream {
  ValueId x;
  Dim tokens;
};

struct Rope {
  ValueId cos, sin;  // [tokens, head_dim / 2]
};

struct Qkv {
  ValueId q, k, v;  // [B, tokens, heads, head_dim]
};

// One step of modulation: a slice of the modulation's linear as [B, 1, dim].
struct Modulation {
  ValueId shift, scale, gate;
};

class FluxBuilder {
 public:
  FluxBuilder(const FluxConfig& config, const WeightStore* weights)
      : c_(config), b_("FluxTransformer2DModel", "forward", weights) {}

  Graph build() {
    const ValueId latent =
        b_.input("hidden_states", DType::f32, {batch_, image_, c_.in_channels}, Rate::step);
    const ValueId states =
        b_.input("encoder_hidden_states", DType::f32, {batch_, words_, c_.text_dim}, Rate::request);
    timestep_ = b_.input("timestep", DType::f32, {batch_}, Rate::schedule);
    b_.set_timestep(timestep_);
    const ValueId x = b_.linear(latent, "x_embedder", c_.in_channels, c_.dim());
    modulator_ = b_.silu(embed_conditions(), "time_text_embed.silu");
    const ValueId context = b_.linear(states, "context_embedder", c_.text_dim, c_.dim());
    rotary_tables();

    Stream picture{x, image_}, text{context, words_};
    for (int64_t i = 0; i < c_.layers; ++i) double_block(i, picture, text);
    if (c_.single_layers > 0) picture.x = single_blocks(picture, text);
    const ValueId normed = final_norm(picture.x);
    b_.output("sample", b_.linear(normed, "proj_out", c_.dim(), c_.out_channels));
    return b_.take();
  }

 private:
  // linear_1 -> silu -> linear_2, the shape of all three condition embedders.
  ValueId embedder(ValueId x, std::string_view name, int64_t in) {
    const Builder::Scope scope = b_.scope(name);
    const ValueId h = b_.silu(b_.linear(x, "linear_1", in, c_.dim()), "act");
    const ValueId y = b_.linear(h, "linear_2", c_.dim(), c_.dim());
    b_.tap(y, "");
    return y;
  }

  // The model takes t in [0, 1] and multiplies by 1000 itself; guidance alike.
  ValueId sinusoid(ValueId t, std::string_view name) {
    const ValueId scaled =
        b_.op(Op::affine, {t}, {{"scale", 1000.0}, {"shift", 0.0}}, std::string(name) + ".x1000");
    return b_.op(Op::timestep_embedding, {scaled},
                 {{"dim", kSinusoid},
                  {"flip_sin_to_cos", true},
                  {"freq_shift", 0.0},
                  {"max_period", 10000.0}},
                 name);
  }

  ValueId embed_conditions() {
    const Builder::Scope scope = b_.scope("time_text_embed");
    const ValueId pooled =
        b_.input("pooled_projections", DType::f32, {batch_, c_.pooled_dim}, Rate::request);
    ValueId sum = embedder(sinusoid(timestep_, "time_proj"), "timestep_embedder", kSinusoid);
    if (c_.guidance) {
      const ValueId given = b_.input("guidance", DType::f32, {batch_}, Rate::request);
      const ValueId guidance =
          embedder(sinusoid(given, "guidance_proj"), "guidance_embedder", kSinusoid);
      sum = b_.add(sum, guidance, "time_guidance");
    }
    return b_.add(sum, embedder(pooled, "text_embedder", c_.pooled_dim), "");
  }

  // One table for [text, picture]; double-stream blocks use its two parts.
  void rotary_tables() {
    const auto axes = static_cast<int64_t>(c_.axes.size());
    const ValueId txt = b_.input("txt_ids", DType::f32, {words_, axes}, Rate::request);
    const ValueId img = b_.input("img_ids", DType::f32, {image_, axes}, Rate::request);
    const ValueId ids = b_.op(Op::concat, {txt, img}, {{"axis", int64_t{0}}}, "ids");
    const Builder::Scope scope = b_.scope("pos_embed");
    const std::vector<ValueId> table =
        b_.op_multi(Op::rope_table, {ids}, {{"axes", c_.axes}, {"theta", kTheta}}, "table");
    joint_rope_ = {table[0], table[1]};
    tap_doubled(joint_rope_.cos, ":0");
    tap_doubled(joint_rope_.sin, ":1");
    text_rope_ = {b_.slice(joint_rope_.cos, 0, 0, words_, "text.cos"),
                  b_.slice(joint_rope_.sin, 0, 0, words_, "text.sin")};
    picture_rope_ = {b_.slice(joint_rope_.cos, 0, words_, words_ + image_, "picture.cos"),
                     b_.slice(joint_rope_.sin, 0, words_, words_ + image_, "picture.sin")};
  }

  // The library's table has every value twice, once for each of a pair.
  void tap_doubled(ValueId table, const std::string& name) {
    const Dim rows = words_ + image_;
    const ValueId once = b_.reshape(table, {rows, c_.head_dim / 2, 1}, name + ".once");
    const SymShape pairs{rows, c_.head_dim / 2, 2};
    const ValueId twice = b_.op(Op::expand, {once}, {{"shape", pairs}}, name + ".pairs");
    b_.reshape(twice, {rows, c_.head_dim}, name);
  }

  // Part i of the modulation's linear.
  ValueId chunk(ValueId modulation, int64_t i, std::string_view name) {
    return b_.slice(modulation, 1, i * c_.dim(), (i + 1) * c_.dim(), name);
  }
  ValueId row(ValueId chunk, std::string_view name) {
    return b_.reshape(chunk, {batch_, 1, c_.dim()}, name);
  }

  ValueId modulate(ValueId normed, const Modulation& m, std::string_view name) {
    const std::string step(name);
    const ValueId factor =
        b_.op(Op::affine, {m.scale}, {{"scale", 1.0}, {"shift", 1.0}}, step + ".one_plus_scale");
    return b_.add(b_.mul(normed, factor, step + ".scaled"), m.shift, name);
  }

  ValueId layer_norm(ValueId x, std::string_view name) {
    return b_.op(Op::layer_norm, {x}, {{"eps", kEps}}, name);
  }

  ValueId gated(ValueId residual, ValueId gate, ValueId y, std::string_view name) {
    return b_.add(residual, b_.mul(gate, y, std::string(name) + ".gated"), name);
  }

  // AdaLayerNormZero. Chunks: shift, scale, gate of attention, then of the MLP. Its result is
  // (modulated x, gate, shift_mlp, scale_mlp, gate_mlp).
  struct ZeroNorm {
    ValueId x, gate;
    Modulation mlp;
  };
  ZeroNorm norm_zero(ValueId x, std::string_view name) {
    const Builder::Scope scope = b_.scope(name);
    const ValueId m = b_.linear(modulator_, "linear", c_.dim(), 6 * c_.dim());
    const Modulation attn{row(chunk(m, 0, "shift_msa"), "shift_msa.row"),
                          row(chunk(m, 1, "scale_msa"), "scale_msa.row"),
                          row(chunk(m, 2, ":1"), "gate_msa.row")};
    const Modulation mlp{row(chunk(m, 3, ":2"), "shift_mlp.row"),
                         row(chunk(m, 4, ":3"), "scale_mlp.row"),
                         row(chunk(m, 5, ":4"), "gate_mlp.row")};
    return {modulate(layer_norm(x, "norm"), attn, ":0"), attn.gate, mlp};
  }

  ValueId heads(ValueId x, const Dim& tokens, std::string_view name) {
    return b_.reshape(x, {batch_, tokens, c_.heads, c_.head_dim}, std::string(name) + ".heads");
  }

  // Projection, RMS norm per head, rotation; v is only projected.
  struct QkvNames {
    const char *q, *k, *v, *norm_q, *norm_k;
  };
  Qkv project(const Stream& in, const QkvNames& names, const Rope& rope) {
    const auto normed = [&](const char* layer, const char* norm) {
      const ValueId x = heads(b_.linear(in.x, layer, c_.dim(), c_.dim()), in.tokens, layer);
      const ValueId y = b_.rms_norm(x, norm, c_.head_dim, kEps);
      return b_.op(Op::rope, {y, rope.cos, rope.sin}, {}, std::string(norm) + ".rope");
    };
    const ValueId q = normed(names.q, names.norm_q), k = normed(names.k, names.norm_k);
    return {q, k, heads(b_.linear(in.x, names.v, c_.dim(), c_.dim()), in.tokens, names.v)};
  }

  ValueId attend(const Qkv& p, const Dim& tokens, std::string_view name) {
    const double scale = 1 / std::sqrt(static_cast<double>(c_.head_dim));
    const ValueId y = b_.attention(p.q, p.k, p.v, scale);
    return b_.reshape(y, {batch_, tokens, c_.dim()}, name);
  }

  ValueId join_tokens(ValueId text, ValueId picture, std::string_view name) {
    return b_.op(Op::concat, {text, picture}, {{"axis", int64_t{1}}}, name);
  }

  // Attention over [text, picture]; each stream gets its part through its own output layer.
  struct Pair {
    ValueId picture, text;
  };
  Pair joint_attention(const Stream& picture, const Stream& text) {
    const Builder::Scope scope = b_.scope("attn");
    const Qkv p = project(picture, {"to_q", "to_k", "to_v", "norm_q", "norm_k"}, picture_rope_);
    const Qkv t =
        project(text, {"add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k"},
                text_rope_);
    const Qkv all{join_tokens(t.q, p.q, "q"), join_tokens(t.k, p.k, "k"),
                  join_tokens(t.v, p.v, "v")};
    const ValueId y = attend(all, words_ + image_, "joined");
    const ValueId y_picture = b_.slice(y, 1, words_, words_ + image_, "picture");
    const ValueId y_text = b_.slice(y, 1, 0, words_, "text");
    const Pair result{b_.linear(y_picture, "to_out.0", c_.dim(), c_.dim()),
                      b_.linear(y_text, "to_add_out", c_.dim(), c_.dim())};
    b_.tap(result.picture, ":0");
    b_.tap(result.text, ":1");
    return result;
  }

  // Residual over attention's result, then over the modulated feed-forward layer.
  ValueId finish_stream(ValueId x, ValueId attention, const ZeroNorm& norm, const char* norm2,
                        const char* ff, std::string_view name) {
    const ValueId h = gated(x, norm.gate, attention, std::string(ff) + ".residual");
    const ValueId y = modulate(layer_norm(h, norm2), norm.mlp, std::string(norm2) + ".modulated");
    return gated(h, norm.mlp.gate, feed_forward(y, ff), name);
  }

  ValueId feed_forward(ValueId x, std::string_view name) {
    const Builder::Scope scope = b_.scope(name);
    const int64_t inner = kMlpRatio * c_.dim();
    const ValueId h = b_.gelu_tanh(b_.linear(x, "net.0.proj", c_.dim(), inner), "net.0");
    const ValueId y = b_.linear(h, "net.2", inner, c_.dim());
    b_.tap(y, "");
    return y;
  }

  void double_block(int64_t i, Stream& picture, Stream& text) {
    const Builder::Scope scope = b_.scope("transformer_blocks." + std::to_string(i));
    const ZeroNorm p = norm_zero(picture.x, "norm1"), t = norm_zero(text.x, "norm1_context");
    const Pair y = joint_attention({p.x, image_}, {t.x, words_});
    picture.x = finish_stream(picture.x, y.picture, p, "norm2", "ff", ":1");
    text.x = finish_stream(text.x, y.text, t, "norm2_context", "ff_context", ":0");
  }

  ValueId single_blocks(const Stream& picture, const Stream& text) {
    ValueId x = join_tokens(text.x, picture.x, "single_transformer_blocks.input");
    for (int64_t i = 0; i < c_.single_layers; ++i) x = single_block(i, x);
    return b_.slice(x, 1, words_, words_ + image_, "single_transformer_blocks.picture");
  }

  // Attention and MLP side by side over one modulated norm; one output layer over both.
  ValueId single_block(int64_t i, ValueId x) {
    const Builder::Scope scope = b_.scope("single_transformer_blocks." + std::to_string(i));
    const int64_t inner = kMlpRatio * c_.dim();
    ValueId gate = kNoValue;
    const ValueId y = norm_zero_single(x, gate);
    const ValueId mlp = b_.gelu_tanh(b_.linear(y, "proj_mlp", c_.dim(), inner), "act_mlp");
    const ValueId both =
        b_.op(Op::concat, {single_attention(y), mlp}, {{"axis", int64_t{2}}}, "attn_mlp");
    const ValueId out = b_.linear(both, "proj_out", c_.dim() + inner, c_.dim());
    const ValueId h = gated(x, gate, out, "joined");
    b_.slice(h, 1, 0, words_, ":0");  // the library's result, for taps: text, picture
    b_.slice(h, 1, words_, words_ + image_, ":1");
    return h;
  }

  // AdaLayerNormZeroSingle: chunks shift, scale, gate.
  ValueId norm_zero_single(ValueId x, ValueId& gate) {
    const Builder::Scope scope = b_.scope("norm");
    const ValueId m = b_.linear(modulator_, "linear", c_.dim(), 3 * c_.dim());
    const Modulation modulation{row(chunk(m, 0, "shift_msa"), "shift_msa.row"),
                                row(chunk(m, 1, "scale_msa"), "scale_msa.row"),
                                row(chunk(m, 2, ":1"), "gate_msa.row")};
    gate = modulation.gate;
    return modulate(layer_norm(x, "norm"), modulation, ":0");
  }

  ValueId single_attention(ValueId x) {
    const Builder::Scope scope = b_.scope("attn");
    const Qkv p =
        project({x, words_ + image_}, {"to_q", "to_k", "to_v", "norm_q", "norm_k"}, joint_rope_);
    return attend(p, words_ + image_, "");
  }

  // AdaLayerNormContinuous: scale first, then shift.
  ValueId final_norm(ValueId x) {
    const Builder::Scope scope = b_.scope("norm_out");
    const ValueId m = b_.linear(modulator_, "linear", c_.dim(), 2 * c_.dim());
    const ValueId scale = row(chunk(m, 0, "scale"), "scale.row");
    const ValueId shift = row(chunk(m, 1, "shift"), "shift.row");
    return modulate(layer_norm(x, "norm"), {shift, scale, kNoValue}, "");
  }

  const Dim batch_ = Dim::symbol("B");
  const Dim image_ = Dim::symbol("S"), words_ = Dim::symbol("T");  // numbers of tokens
  FluxConfig c_;
  Builder b_;
  ValueId timestep_ = kNoValue;   // [batch_]
  ValueId modulator_ = kNoValue;  // silu of the condition embedding [batch_, dim]
  Rope joint_rope_{}, text_rope_{}, picture_rope_{};
};

}  // namespace

FluxConfig FluxConfig::read(const Config& config) {
  FluxConfig c;
  config.get_int_or("patch_size", 1, 1, 1);  // latents come packed
  c.in_channels = config.get_int("in_channels", 1, kMaxWidth);
  c.out_channels = config.get_int_or("out_channels", c.in_channels, 1, kMaxWidth);
  c.layers = config.get_int("num_layers", 0, kMaxLayers);
  c.single_layers = config.get_int("num_single_layers", 0, kMaxLayers);
  c.heads = config.get_int("num_attention_heads", 1, 4096);
  c.head_dim = config.get_int("attention_head_dim", 2, 4096);
  c.text_dim = config.get_int("joint_attention_dim", 1, kMaxWidth);
  c.pooled_dim = config.get_int("pooled_projection_dim", 1, kMaxWidth);
  c.guidance = config.get_bool_or("guidance_embeds", false);
  c.axes = {16, 56, 56};
  if (config.has("axes_dims_rope")) c.axes = config.get_ints("axes_dims_rope", 2, 4096);
  for (int64_t axis : c.axes) {
    if (axis % 2 != 0) config.fail("axes_dims_rope", "even numbers (rotary pairs)");
  }
  if (std::accumulate(c.axes.begin(), c.axes.end(), int64_t{0}) != c.head_dim) {
    config.fail("axes_dims_rope",
                fmt::format("numbers that add up to attention_head_dim = {}{}", c.head_dim,
                            config.has("axes_dims_rope") ? "" : " (the default is [16, 56, 56])"));
  }
  if (c.dim() > kMaxWidth) {
    config.fail("num_attention_heads", fmt::format("at most {} for attention_head_dim = {}",
                                                   kMaxWidth / c.head_dim, c.head_dim));
  }
  return c;
}

Graph build_flux(const Config& config, const WeightStore* weights, std::string_view) {
  return FluxBuilder(FluxConfig::read(config), weights).build();
}

}  // namespace octavo
