// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without a fuzzer: every seed of a folder, then a fixed number of changes of them, the same in each
// run. `fuzz_X SEEDS ROUNDS`; `fuzz_X FILE` runs one input alone. A finding's input is left in the file that is named.

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz.hpp"

namespace {

namespace fs = std::filesystem;
using Random = std::mt19937_64;

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::size_t below(Random& random, std::size_t bound) {
  return bound == 0 ? 0 : static_cast<std::size_t>(random() % bound);
}

/// One small change, of the kinds that break decoders: other bits, other lengths, parts repeated, lost or exchanged.
void change(std::string& input, const std::string& other, Random& random) {
  static const std::vector<std::string> tokens{
      "0",    "-1",   "18446744073709551616", "1e308", "null", "{}", "[]", "\"", "\\",
      "\xff", "\xc3", std::string(8, '\0'),   "\n",    "<",    ">",  ",",  "/",  "nan"};
  const std::size_t at = below(random, input.size() + 1);
  const std::size_t length = below(random, std::min<std::size_t>(input.size() - at, 64) + 1);
  switch (below(random, 7)) {
    case 0:
      if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(random, 8)));
      break;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(random());
      break;
    case 2:
      input.erase(at, length);
      break;
    case 3:
      input.insert(at, input.substr(at, length));
      break;
    case 4:
      input.insert(at, tokens[below(random, tokens.size())]);
      break;
    case 5:
      input.replace(at, length, other.substr(below(random, other.size()), length));
      break;
    default:
      input.resize(at);
  }
}

/// Kept while an input runs, so that the one that ends the process is known.
void run(const std::string& input, const fs::path& kept) {
  std::ofstream(kept, std::ios::binary) << input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  const fs::path given = argc > 1 ? argv[1] : "";
  const fs::path kept =
      fs::temp_directory_path() / fmt::format("{}-{}", fs::path(argv[0]).filename().string(), ::getpid());
  std::vector<std::string> seeds;
  if (fs::is_directory(given)) {
    for (const auto& entry : fs::directory_iterator(given)) seeds.push_back(read(entry.path()));
  } else if (fs::is_regular_file(given)) {
    seeds.push_back(read(given));
  }
  if (seeds.empty()) {
    fmt::print(stderr, "usage: {} SEEDS ROUNDS, or FILE\n", argv[0]);
    return 2;
  }
  std::ranges::sort(seeds);
  const unsigned long rounds = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0;
  fmt::print(stderr, "the input that runs is in {}\n", kept.string());
  for (const std::string& seed : seeds) run(seed, kept);
  Random random(1);
  for (unsigned long round = 0; round < rounds; ++round) {
    std::string input = seeds[below(random, seeds.size())];
    for (std::size_t changes = 1 + below(random, 6); changes > 0; --changes)
      change(input, seeds[below(random, seeds.size())], random);
    run(input, kept);
  }
  fs::remove(kept);
  fmt::print("{} seeds and {} changes of them ran\n", seeds.size(), rounds);
  return 0;
}
