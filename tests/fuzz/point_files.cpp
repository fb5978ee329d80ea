// SPDX-License-Identifier: Apache-2.0
// The files beside a point's layers. The first byte says which: 'p' a description, 'm' a manifest as it stands,
// anything else a manifest whose checksum is made right, so that what lies behind it is reached.
#include "adapters/nbd/manifest_file.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "base/digest.hpp"
#include "fuzz.hpp"

using namespace umbra;

namespace {

constexpr std::size_t checksum_at = 32, digests_at = 64;

std::string with_checksum(std::string manifest) {
  if (manifest.size() < digests_at) return manifest;
  const std::string covered = manifest.substr(0, checksum_at) + manifest.substr(digests_at);
  const base::Digest digest = base::sha256(std::as_bytes(std::span(covered)));
  manifest.replace(checksum_at, digest.bytes.size(), reinterpret_cast<const char*>(digest.bytes.data()),
                   digest.bytes.size());
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
    const model::Part part{model::DiskName("vda"), {131072}};
    fuzz::must(nbd::read_manifest_file(file.path(), part).blocks.size() == 2);
  });
  return 0;
}
