// SPDX-License-Identifier: Apache-2.0
#include "replication/images.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "adapters/nbd/qemu_nbd.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::bench {
namespace {

constexpr std::uint64_t block = 65536;
constexpr std::array<std::string_view, 16> vocabulary{
    "the ",    "session ",  "opened for user ", "kernel: ",         "systemd[1]: ", "status=",
    "failed ", "request ",  "from 10.0.0.",     "GET /index.html ", "200 ",         "error ",
    "daemon ", "started\n", "Nov 26 ",          "connection "};

void fill_random(std::span<std::byte> data, std::mt19937_64& random) {
  for (std::size_t at = 0; at < data.size(); at += 8) {
    const std::uint64_t value = random();
    std::memcpy(data.data() + at, &value, std::min<std::size_t>(8, data.size() - at));
  }
}

/// Compresses to about a third, as logs and documents do.
void fill_text(std::span<std::byte> data, std::mt19937_64& random) {
  for (std::size_t at = 0; at < data.size();) {
    const std::uint64_t value = random();
    const std::string word = std::string(vocabulary[value % 16]) + std::to_string(value >> 44);
    const std::size_t n = std::min(word.size(), data.size() - at);
    std::memcpy(data.data() + at, word.data(), n);
    at += n;
  }
}

}  // namespace

void make_raw(const std::string& path, const ImageShape& shape) {
  std::mt19937_64 random(shape.size + shape.data);
  const base::UniqueFd fd = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (::ftruncate(fd.get(), static_cast<off_t>(shape.size)) != 0) throw base::from_errno(errno, path);
  // The image in as many stripes as there are runs of data; each run lies somewhere in its stripe.
  constexpr std::uint64_t run = 16 * block;
  const std::uint64_t runs = std::max<std::uint64_t>(shape.data / run, 1);
  const std::uint64_t stripe = shape.size / runs / block * block;
  std::vector<std::byte> data(run);
  for (std::uint64_t i = 0; i < runs; ++i) {
    const std::uint64_t room = (stripe - std::min(run, stripe)) / block + 1;
    const std::uint64_t at = i * stripe + random() % room * block;
    if (i % 2 == 0)
      fill_text(data, random);
    else
      fill_random(data, random);
    if (::pwrite(fd.get(), data.data(), data.size(), static_cast<off_t>(at)) != static_cast<ssize_t>(data.size()))
      throw base::from_errno(errno, path);
  }
  base::sync_fd(fd.get(), path);
}

void dirty(const std::string& path, const std::string& format, double fraction, std::uint64_t seed) {
  nbd::QemuNbd server({.path = path, .format = format, .read_only = false});
  nbd::Connection connection;
  server.connect(connection);
  const std::uint64_t size = connection.size().value;
  std::mt19937_64 random(seed);
  auto left = static_cast<std::int64_t>(fraction * static_cast<double>(size));
  std::vector<std::byte> data;
  for (bool text = false; left > 0; text = !text) {
    data.resize((1 + random() % 4) * block);
    if (text)
      fill_text(data, random);
    else
      fill_random(data, random);
    const std::uint64_t at = random() % ((size - data.size()) / block) * block;
    nbd::Completion done;
    connection.start_write(at, data, done);
    while (!done.done) connection.poll();
    if (done.error != 0) throw base::from_errno(done.error, path);
    left -= static_cast<std::int64_t>(data.size());
  }
  connection.flush();
  connection.shut_down();
  connection.close();
  server.finish();
}

}  // namespace umbra::bench
