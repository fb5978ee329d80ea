// SPDX-License-Identifier: Apache-2.0
#include "adapters/xgb/model_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <zstd.h>

#include <array>
#include <cstring>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::xgb {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::string_view file_magic = "UMBRAFM1";
constexpr std::size_t digest_at = file_magic.size();
constexpr std::size_t size_at = digest_at + sizeof(base::Digest::bytes);
constexpr std::size_t frame_at = size_at + 8;
constexpr std::uint64_t most_bytes = 256u << 20;
constexpr std::size_t most_layers = 16;
constexpr int compression = 19;

base::Error damaged(std::string_view how) {
  return base::Error(base::Kind::corrupt, fmt::format("it is no sound forecast model: {}", how),
                     "umbra model train --help");
}

void put(Bytes& bytes, std::uint64_t value, std::size_t width) {
  for (std::size_t i = 0; i < width; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
}

std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t at, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value |= static_cast<std::uint64_t>(bytes[at + i]) << (8 * i);
  return value;
}

void put_part(Bytes& body, std::span<const std::byte> part) {
  put(body, part.size(), 4);
  body.insert(body.end(), part.begin(), part.end());
}

/// The trees of a layer, in the file's order.
template <class Layer>
auto parts_of(Layer& layer) {
  return std::array{&layer.saturation, &layer.peak, &layer.first[0], &layer.first[1], &layer.first[2]};
}

/// Takes one part after another from a body.
class Parts {
 public:
  explicit Parts(std::span<const std::byte> body) : m_rest(body) {}
  std::span<const std::byte> next() {
    if (m_rest.size() < 4) throw damaged("it is cut short");
    const std::uint64_t size = number_at(m_rest, 0, 4);
    if (size > m_rest.size() - 4) throw damaged("a part is longer than the file");
    const auto part = m_rest.subspan(4, size);
    m_rest = m_rest.subspan(4 + size);
    return part;
  }
  bool at_end() const { return m_rest.empty(); }

 private:
  std::span<const std::byte> m_rest;
};

/// Of another version the first bytes alone are sure to be where they are now.
void refuse_other_version(std::span<const std::byte> file) {
  constexpr std::size_t name = file_magic.size() - 1;
  if (file.size() < file_magic.size() || std::memcmp(file.data(), file_magic.data(), name) != 0) return;
  if (static_cast<char>(file[name]) == file_magic.back()) return;
  throw base::Error(base::Kind::unsupported, "the forecast model was written by another version of umbra",
                    "umbra model train --help");
}

Bytes plain_body(std::span<const std::byte> file) {
  refuse_other_version(file);
  if (file.size() < frame_at || std::memcmp(file.data(), file_magic.data(), file_magic.size()) != 0) {
    throw damaged("it does not begin as one");
  }
  base::Digest told;
  std::memcpy(told.bytes.data(), file.data() + digest_at, told.bytes.size());
  if (base::sha256(file.subspan(size_at)) != told) throw damaged("its contents differ from their digest");
  const std::uint64_t size = number_at(file, size_at, 8);
  if (size > most_bytes) throw damaged("it tells a size that no model has");
  Bytes body(size);
  const auto frame = file.subspan(frame_at);
  if (ZSTD_decompress(body.data(), body.size(), frame.data(), frame.size()) != size) {
    throw damaged("it can't be decompressed");
  }
  return body;
}

model::Json head_of(std::span<const std::byte> part) {
  try {
    return model::Json::parse(reinterpret_cast<const char*>(part.data()),
                              reinterpret_cast<const char*>(part.data()) + part.size());
  } catch (const nlohmann::json::exception&) {
    throw damaged("its head is no JSON");
  }
}

}  // namespace

std::vector<std::byte> encode_model(const model::ForecastModel& model) {
  Bytes body;
  const std::string head = model::to_json(model).dump();
  put_part(body, std::as_bytes(std::span(head)));
  for (const model::ForecastLayer& layer : model.layers) {
    for (const model::SavedTrees* trees : parts_of(layer)) put_part(body, *trees);
  }

  Bytes rest;
  put(rest, body.size(), 8);
  const std::size_t bound = ZSTD_compressBound(body.size());
  rest.resize(8 + bound);
  const std::size_t size = ZSTD_compress(rest.data() + 8, bound, body.data(), body.size(), compression);
  if (ZSTD_isError(size) != 0) {
    throw base::Error(base::Kind::internal, fmt::format("zstd could not compress: {}", ZSTD_getErrorName(size)));
  }
  rest.resize(8 + size);

  Bytes file(size_at);
  std::memcpy(file.data(), file_magic.data(), file_magic.size());
  const base::Digest digest = base::sha256(rest);
  std::memcpy(file.data() + digest_at, digest.bytes.data(), digest.bytes.size());
  file.insert(file.end(), rest.begin(), rest.end());
  return file;
}

model::ForecastModel decode_model(std::span<const std::byte> file) {
  const Bytes body = plain_body(file);
  Parts parts(body);
  model::ForecastModel model = model::forecast_model_from(head_of(parts.next()));
  if (model.layers.size() > most_layers) throw damaged("it has more layers than a model may have");
  for (model::ForecastLayer& layer : model.layers) {
    for (model::SavedTrees* trees : parts_of(layer)) {
      const auto part = parts.next();
      trees->assign(part.begin(), part.end());
    }
  }
  if (!parts.at_end()) throw damaged("something follows its end");
  return model;
}

void write_model_file(const std::filesystem::path& path, const model::ForecastModel& model) {
  const Bytes file = encode_model(model);
  base::write_output(path, {reinterpret_cast<const char*>(file.data()), file.size()});
}

model::ForecastModel read_model_file(const std::filesystem::path& path) {
  return base::with_context(path.string(), [&] {
    const std::string file = base::read_text_file(path, most_bytes);
    return decode_model(std::as_bytes(std::span(file)));
  });
}

}  // namespace umbra::xgb
