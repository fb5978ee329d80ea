// SPDX-License-Identifier: Apache-2.0
// The model file. After an F come a file's bytes; else the input is what lies behind digest and compression, which are
// made to fit, so that it is reached.
#include <zstd.h>

#include <cstring>
#include <vector>

#include "adapters/xgb/model_file.hpp"
#include "base/digest.hpp"
#include "fuzz.hpp"

using namespace umbra;

namespace {

std::vector<std::byte> file_around(std::span<const std::byte> body) {
  constexpr std::size_t head = 48;  // magic, digest, size
  std::vector<std::byte> file(head + ZSTD_compressBound(body.size()));
  const std::size_t size = ZSTD_compress(file.data() + head, file.size() - head, body.data(), body.size(), 1);
  file.resize(head + size);
  std::memcpy(file.data(), "UMBRAFM1", 8);
  for (std::size_t i = 0; i < 8; ++i) file[40 + i] = static_cast<std::byte>(body.size() >> (8 * i));
  return file;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  const bool whole = size > 0 && data[0] == 'F';
  std::vector<std::byte> file = whole ? std::vector(input.begin() + 1, input.end()) : file_around(input);
  if (file.size() > 40) {
    const base::Digest digest = base::sha256(std::span(file).subspan(40));
    std::memcpy(file.data() + 8, digest.bytes.data(), digest.bytes.size());
  }
  fuzz::may_refuse([&] {
    const model::ForecastModel model = xgb::decode_model(file);
    fuzz::must(!model.layers.empty());
    fuzz::must(model::to_json(xgb::decode_model(xgb::encode_model(model))) == model::to_json(model));
  });
  return 0;
}
