// SPDX-License-Identifier: Apache-2.0
#pragma once
// The BlockSource over any NBD connection; shared by source.cpp and by verification.

#include <any>
#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "adapters/nbd/connection.hpp"
#include "base/error.hpp"
#include "ports/block_source.hpp"

namespace umbra::nbd {

/// Asks for the contexts that NbdSource needs. Before connecting.
void prepare(Connection& connection, const std::string& dirty_context);

/// The export's description by which the far end tells the depth (1 is the file itself) above which a layer's data are
/// changes; see source.hpp.
std::string depth_description(std::uint32_t depth);
std::optional<std::uint32_t> depth_of_description(std::string_view text);
/// The description of a raw file whose size is no whole number of sectors: qemu-nbd shows it longer than it is.
std::string size_description(model::ByteCount size);
std::optional<model::ByteCount> size_of_description(std::string_view text);
/// The description of an export that can't tell changes: the far end's reason, with its kind, goes the same way.
std::string failure_description(const base::Error& error);
std::optional<base::Error> failure_of_description(std::string_view text);

class NbdSource final : public ports::BlockSource {
 public:
  /// `server` is what must live as long as the connection does.
  NbdSource(Connection connection, const std::string& dirty_context, std::any server);

  model::ByteCount size() const override { return m_size; }
  bool tracks_changes() const override { return !m_dirty_context.empty(); }
  void each_extent(const std::function<void(const ports::Extent&)>& each) override;
  /// After an exception the source can't be read any more.
  void read(std::span<const ports::Range> ranges,
            const std::function<void(const ports::Range&, std::span<const std::byte>)>& each) override;
  void read_buffers(std::span<const ports::Range> ranges,
                    const std::function<void(const ports::Range&, ports::Buffer&)>& each) override;
  bool stands_alone() const override { return true; }
  void stop() noexcept override { m_stopped = true; }

 private:
  bool is_changed(std::uint32_t flags) const;
  void read_ahead(std::span<const ports::Range> ranges,
                  const std::function<void(const ports::Range&, ports::Buffer&)>& each);
  void wait_for(const Completion& completion);
  ports::Buffer take_spare();
  void keep_spare(ports::Buffer buffer);
  [[noreturn]] void fail(int error, std::uint64_t begin, std::uint64_t end) const;
  /// The bytes at the end that are less than the server's smallest block.
  std::uint64_t odd_end() const { return m_size.value % m_sizes.minimum; }
  std::any m_server;  // outlives the connection
  Connection m_connection;
  std::string m_dirty_context;
  model::ByteCount m_size;
  BlockSizes m_sizes;
  std::vector<ports::Buffer> m_spare;  ///< kept, since memory that is new costs a fault a page
  std::uint64_t m_spare_bytes = 0;
  bool m_tells_zeroes = false;
  std::uint32_t m_depth = 0;
  std::atomic<bool> m_stopped = false;
};

}  // namespace umbra::nbd
