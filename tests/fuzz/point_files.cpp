// SPDX-License-Identifier: Apache-2.0
// The files beside a point's layers. The first byte says which: 'p' a description, 'm' a manifest as it stands,
// anything else a manifest whose checksum is made right, so that what lies behind it is reached.
#include "adapters/nbd/manifest_file.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "base/digest.hpp"
#include "fuzz.hpp"

using namespace umbra;

namespace {

constexpr std::size_t checksum_at = 40, pages_at = 72;
constexpr std::size_t blocks = 2050, page = 1024;  // three pages, the last one short

std::string text_of(const base::Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

/// The file's own digest is made that of its pages, as far as they go.
std::string with_checksum(std::string manifest) {
  if (manifest.size() < pages_at) return manifest;
  std::string covered = manifest.substr(0, checksum_at);
  for (std::size_t at = pages_at; at + 8 <= manifest.size();) {
    const bool is_last = manifest[at] == 2;
    const std::string digests = manifest.substr(at + 8, (is_last ? blocks % page : page) * 32);
    covered += manifest.substr(at, 8) + text_of(base::sha256(std::as_bytes(std::span(digests))));
    at += 8 + std::max<std::size_t>(digests.size(), 1);
  }
  manifest.replace(checksum_at, 32, text_of(base::sha256(std::as_bytes(std::span(covered)))));
  return manifest;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string content(fuzz::text_of(data + 1, size - 1));
  if (data[0] == 'p') {
    const fuzz::InputFile file(content);
    fuzz::may_refuse([&] { nbd::read_point_file(file.path()); });
    return 0;
  }
  const fuzz::InputFile file(data[0] == 'm' ? content : with_checksum(content));
  fuzz::may_refuse([&] {
    const model::Part part{model::DiskName("vda"), {blocks * model::block_size}};
    const model::PartManifest manifest = nbd::read_manifest_file(file.path(), part);
    fuzz::must(manifest.blocks.size() == blocks);
    // What was taken is written again as it was.
    const std::filesystem::path again =
        std::filesystem::temp_directory_path() / ("umbra-fuzz-" + std::to_string(::getpid()));
    std::filesystem::remove(again);
    nbd::write_manifest_file(again, manifest);
    const bool same = base::read_text_file(again) == base::read_text_file(file.path());
    std::filesystem::remove(again);
    fuzz::must(same);
  });
  return 0;
}
