// SPDX-License-Identifier: Apache-2.0
// The files beside a point's layers, and what an NBD server says of its export. The first byte says which: 'p' a
// description, 'n' the note of what was found of a damaged point, 'd' an export's description, 'm' a manifest as it
// stands, anything else a manifest whose checksum is made right, so that what lies behind it is reached.
#include "adapters/nbd/damage.hpp"
#include "adapters/nbd/manifest_file.hpp"
#include "adapters/nbd/nbd_source.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "base/digest.hpp"
#include "fuzz.hpp"

#include <fcntl.h>

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

/// A damaged point whose disk was read, but for the note, which is the input.
class DamagedPoint {
 public:
  DamagedPoint()
      : m_root(std::filesystem::temp_directory_path() / ("fuzz-point-" + std::to_string(::getpid()))),
        m_folder(m_root, model::ShadowId("web1")) {
    const model::Part part{model::DiskName("vda"), {131072}};
    m_point.info.parts = {part};
    m_point.info.number = {1};
    m_point.info.layers = {"/nowhere"};
    m_point.info.damaged = "it is";
    m_point.stamps = {std::nullopt};
    std::filesystem::create_directories(m_folder.point_dir({1}));
    nbd::write_manifest_file(m_folder.point_dir({1}) / "vda.found", {part, base::DigestList(2)});
  }
  ~DamagedPoint() { std::filesystem::remove_all(m_root); }

  void read(std::string_view note) const {
    const base::UniqueFd file = base::open_file(m_folder.point_dir({1}) / "found.json", O_WRONLY | O_CREAT | O_TRUNC);
    base::write_all(file.get(), note, "the note");
    if (const auto found = nbd::read_found(m_folder, m_point)) fuzz::must(found->manifest.parts.size() == 1);
    nbd::changed_since_found(m_folder, m_point);
  }

 private:
  std::filesystem::path m_root;
  nbd::ShadowFolder m_folder;
  nbd::StoredPoint m_point;
};

void read_export(const std::string& text) {
  if (const auto depth = nbd::depth_of_description(text)) fuzz::must(*depth > 0);
  if (const auto size = nbd::size_of_description(text))
    fuzz::must(nbd::size_of_description(nbd::size_description(*size)) == size);
  if (const auto failure = nbd::failure_of_description(text))
    fuzz::must(nbd::failure_of_description(nbd::failure_description(*failure))->kind() == failure->kind());
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string content(fuzz::text_of(data + 1, size - 1));
  if (data[0] == 'd') {
    read_export(content);
    return 0;
  }
  if (data[0] == 'n') {
    static const DamagedPoint point;
    fuzz::may_refuse([&] { point.read(content); });
    return 0;
  }
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
