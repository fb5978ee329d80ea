// SPDX-License-Identifier: Apache-2.0
#include "adapters/stream/kept.hpp"

#include "base/error.hpp"

namespace umbra::stream {
namespace {

[[noreturn]] void broken(const char* what) {
  throw base::Error(base::Kind::corrupt, what, "run the pass again");
}

void put_run(Bytes& payload, std::size_t part, const model::BlockRun& run) {
  put(payload, static_cast<std::uint32_t>(part));
  put(payload, std::uint32_t{0});
  put(payload, run.block);
  put(payload, run.count);
  put(payload, run.digest.bytes);
}

}  // namespace

std::uint64_t runs_in(const Kept& kept) {
  std::uint64_t runs = 0;
  for (const auto& part : kept) runs += part.runs();
  return runs;
}

void write_kept(FrameWriter& out, const Kept& kept) {
  Bytes payload;
  for (std::size_t part = 0; part < kept.size(); ++part) {
    for (model::BlockRun run = kept[part].next(0); run.count > 0; run = kept[part].next(run.block + run.count)) {
      put_run(payload, part, run);
      if (payload.size() < most_kept * kept_size) continue;
      out.frame(FrameType::kept, payload);
      payload.clear();
    }
  }
  if (!payload.empty()) out.frame(FrameType::kept, payload);
}

Kept read_kept(FrameReader& in, const std::vector<model::Part>& parts, std::uint64_t runs) {
  Kept kept;
  for (const model::Part& one : parts) kept.push_back(runs > 0 ? ports::KeptBlocks(one.size) : ports::KeptBlocks());
  std::size_t part = 0;
  std::uint64_t next = 0;  // the first block of the part that may come
  while (runs > 0) {
    const Frame frame = in.require();
    if (frame.type != FrameType::kept || frame.payload.size() % kept_size != 0)
      broken("the far end does not say what a cut pass left");
    Cursor cursor(frame.payload);
    for (std::size_t left = frame.payload.size() / kept_size; left > 0; --left, --runs) {
      const std::size_t of = cursor.number<std::uint32_t>();
      cursor.reserved<std::uint32_t>();
      model::BlockRun run{cursor.number<std::uint64_t>(), cursor.number<std::uint64_t>(), {}};
      run.digest = cursor.digest();
      if (of > part) next = 0;
      const std::uint64_t blocks = of < parts.size() ? model::blocks_in(parts[of].size) : 0;
      const bool in_turn = runs > 0 && of >= part && run.block >= next && run.block < blocks && run.count > 0 &&
                           run.count <= blocks - run.block;
      if (!in_turn) broken("what a cut pass left was told out of turn");
      if (run.count > 1 && run.digest != base::Digest{}) broken("blocks of data were told as one run");
      part = of;
      next = run.block + run.count;
      if (run.digest == base::Digest{})
        kept[of].note_zeroes(run.block, run.count);
      else
        kept[of].note(run.block, run.digest);
    }
  }
  return kept;
}

}  // namespace umbra::stream
