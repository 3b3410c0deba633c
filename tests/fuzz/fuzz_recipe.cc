// A recipe: parsed, printed, parsed again, and asked for layers.
#include "fuzz/fuzz.h"
#include "quant/recipe.h"

using namespace octavo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz::refuse_or_accept([&] {
    const Recipe recipe = Recipe::parse({reinterpret_cast<const char*>(data), size}, "fuzz.recipe");
    const std::string text = recipe.text();
    const Recipe again = Recipe::parse(text, "printed");
    fuzz::must(again.text() == text, "a printed recipe reads back as itself");
    fuzz::must(again.rules.size() == recipe.rules.size(), "no rule is lost");
    for (size_t i = 0; i < recipe.rules.size(); ++i) {
      fuzz::must(again.rules[i].scheme == recipe.rules[i].scheme, "schemes survive printing");
      fuzz::must(again.rules[i].how == recipe.rules[i].how, "words survive printing");
    }
    for (const char* layer : {"transformer/transformer_blocks.0.attn.to_q", "vae/conv", ""}) {
      const RecipeRule *a = recipe.match(layer), *b = again.match(layer);
      fuzz::must((a == nullptr) == (b == nullptr), "printing does not change what matches");
    }
  });
}
