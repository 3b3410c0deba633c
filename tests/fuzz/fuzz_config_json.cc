// A JSON config: parsed, printed, parsed again, and asked for every key as every type.
#include <nlohmann/json.hpp>

#include "fuzz/fuzz.h"
#include "io/json.h"

using namespace octavo;

namespace {

template <class Get>
void ask(const Get& get) {
  fuzz::refuse_or_accept([&] { get(); });
}

void ask_everything(const Config& config, int depth) {
  for (const std::string& key : config.keys()) {
    ask([&] {
      int64_t value = config.get_int(key, 1, 1000);
      fuzz::must(value >= 1 && value <= 1000, "get_int keeps to its range");
    });
    ask([&] { config.get_bool(key); });
    ask([&] { config.get_double(key, -1, 1); });
    ask([&] { fuzz::must(valid_utf8(config.get_string(key)), "strings are UTF-8"); });
    ask([&] { config.get_choice(key, {"silu", "gelu"}); });
    ask([&] { config.get_ints(key, 0, 8); });
    ask([&] { config.get_doubles(key); });
    ask([&] { config.get_strings(key); });
    if (depth < kMaxJsonDepth) ask([&] { ask_everything(config.get_object(key), depth + 1); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz::refuse_or_accept([&] {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    Config config = Config::parse(text, "config.json");
    Json again = parse_json(config.json().dump(), "printed");
    fuzz::must(again == config.json(), "printed JSON reads back as the same value");
    ask_everything(config, 0);
  });
}
