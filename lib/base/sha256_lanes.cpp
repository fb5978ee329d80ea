// SPDX-License-Identifier: Apache-2.0
// FIPS 180-4, section 6.2, with 16 messages at once: register i of the state holds the ith word of each message's
// state, so that each step of the standard is one instruction for all of them (AVX-512: rotations and functions of
// three words are one each). What one message is made of is OpenSSL's (digest.cpp); the tests compare the two.
#include "base/sha256_lanes.hpp"

#include <endian.h>

#include <array>
#include <cstdint>
#include <cstring>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace umbra::base {

#ifdef __x86_64__

// GCC 12 takes the "undefined" operand of its own header for a mistake (its bug 105593).
#pragma GCC diagnostic push
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace {

#define UMBRA_AVX512 __attribute__((target("avx512f,avx512bw")))
#define UMBRA_AVX512_INLINE __attribute__((target("avx512f,avx512bw"), always_inline)) inline

using Words = __m512i;  // one word of 32 bits of each message

constexpr std::size_t state_words = 8;
constexpr std::array<std::uint32_t, state_words> first_state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
constexpr std::array<std::uint32_t, 64> round_constants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// The third operand of a function of three bits is its table of results.
constexpr int parity = 0x96;
constexpr int choose = 0xca;
constexpr int majority = 0xe8;

UMBRA_AVX512_INLINE Words add(Words a, Words b) {
  return _mm512_add_epi32(a, b);
}
UMBRA_AVX512_INLINE Words large_sigma_0(Words x) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, 2), _mm512_ror_epi32(x, 13), _mm512_ror_epi32(x, 22), parity);
}
UMBRA_AVX512_INLINE Words large_sigma_1(Words x) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, 6), _mm512_ror_epi32(x, 11), _mm512_ror_epi32(x, 25), parity);
}
UMBRA_AVX512_INLINE Words small_sigma_0(Words x) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, 7), _mm512_ror_epi32(x, 18), _mm512_srli_epi32(x, 3), parity);
}
UMBRA_AVX512_INLINE Words small_sigma_1(Words x) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, 17), _mm512_ror_epi32(x, 19), _mm512_srli_epi32(x, 10), parity);
}

/// Rows become columns: what was 16 words of each message is then each message's word, 16 times.
UMBRA_AVX512_INLINE void transpose(Words (&rows)[16]) {
  Words half[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    half[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    half[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(half[i], half[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(half[i], half[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(half[i + 1], half[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(half[i + 1], half[i + 3]);
  }
  // Quarter q of rows[4 g + k] is now column 4 q + k of rows 4 g to 4 g + 3.
  constexpr int even_quarters = 0x88;
  constexpr int odd_quarters = 0xdd;
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const Words even_low = _mm512_shuffle_i32x4(rows[k], rows[4 + k], even_quarters);
    const Words odd_low = _mm512_shuffle_i32x4(rows[k], rows[4 + k], odd_quarters);
    const Words even_high = _mm512_shuffle_i32x4(rows[8 + k], rows[12 + k], even_quarters);
    const Words odd_high = _mm512_shuffle_i32x4(rows[8 + k], rows[12 + k], odd_quarters);
    half[k] = _mm512_shuffle_i32x4(even_low, even_high, even_quarters);
    half[4 + k] = _mm512_shuffle_i32x4(odd_low, odd_high, even_quarters);
    half[8 + k] = _mm512_shuffle_i32x4(even_low, even_high, odd_quarters);
    half[12 + k] = _mm512_shuffle_i32x4(odd_low, odd_high, odd_quarters);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = half[i];
}

/// 16 of the 64 rounds; unless they are the last ones, `words` become those of the next 16.
template <int First>
UMBRA_AVX512_INLINE void sixteen_rounds(Words (&s)[state_words], Words (&words)[16]) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const Words constant = _mm512_set1_epi32(static_cast<int>(round_constants[First + i]));
    const Words chosen = _mm512_ternarylogic_epi32(s[4], s[5], s[6], choose);
    const Words t1 = add(add(s[7], constant), add(words[i], add(large_sigma_1(s[4]), chosen)));
    const Words t2 = add(large_sigma_0(s[0]), _mm512_ternarylogic_epi32(s[0], s[1], s[2], majority));
#pragma GCC unroll 7
    for (std::size_t k = state_words - 1; k > 0; --k) s[k] = s[k - 1];
    s[4] = add(s[4], t1);
    s[0] = add(t1, t2);
    if (First < 48)
      words[i] = add(add(words[i], small_sigma_0(words[(i + 1) & 15])),
                     add(words[(i + 9) & 15], small_sigma_1(words[(i + 14) & 15])));
  }
}

/// The words of each message's block, taken from where the standard has them: big-endian.
UMBRA_AVX512_INLINE void load(Words (&words)[16], const std::array<const std::byte*, most_lanes>& at,
                              std::size_t offset) {
  const Words bytes_turned = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll));
#pragma GCC unroll 16
  for (std::size_t i = 0; i < most_lanes; ++i)
    words[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(at[i] + offset), bytes_turned);
  transpose(words);
}

UMBRA_AVX512_INLINE void compress(Words (&state)[state_words], Words (&words)[16]) {
  Words s[state_words];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < state_words; ++i) s[i] = state[i];
  sixteen_rounds<0>(s, words);
  sixteen_rounds<16>(s, words);
  sixteen_rounds<32>(s, words);
  sixteen_rounds<48>(s, words);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < state_words; ++i) state[i] = add(state[i], s[i]);
}

/// What follows a message of whole blocks: one bit, zeroes, and its length in bits.
UMBRA_AVX512_INLINE void fill_last_block(Words (&words)[16], std::uint64_t length) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) words[i] = _mm512_setzero_si512();
  words[0] = _mm512_set1_epi32(static_cast<int>(0x80000000));
  words[14] = _mm512_set1_epi32(static_cast<int>(length >> 29));
  words[15] = _mm512_set1_epi32(static_cast<int>(length << 3));
}

UMBRA_AVX512 void digest_all(const std::array<const std::byte*, most_lanes>& at, std::size_t length,
                             std::array<std::array<std::uint32_t, most_lanes>, state_words>& found) noexcept {
  Words state[state_words];
  for (std::size_t i = 0; i < state_words; ++i) state[i] = _mm512_set1_epi32(static_cast<int>(first_state[i]));
  Words words[16];
  for (std::size_t offset = 0; offset < length; offset += lane_step) {
    load(words, at, offset);
    compress(state, words);
  }
  fill_last_block(words, length);
  compress(state, words);
  for (std::size_t i = 0; i < state_words; ++i) _mm512_storeu_si512(found[i].data(), state[i]);
}

#undef UMBRA_AVX512
#undef UMBRA_AVX512_INLINE

}  // namespace

bool has_lanes() noexcept {
  static const bool found = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  return found;
}

void sha256_in_lanes(std::span<const std::span<const std::byte>> messages, std::span<Digest> digests) noexcept {
  std::array<const std::byte*, most_lanes> at{};
  for (std::size_t i = 0; i < most_lanes; ++i)
    at[i] = messages[i < messages.size() ? i : 0].data();  // a lane that is not needed does what the first does
  std::array<std::array<std::uint32_t, most_lanes>, state_words> found;
  digest_all(at, messages[0].size(), found);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    for (std::size_t word = 0; word < state_words; ++word) {
      const std::uint32_t big = htobe32(found[word][i]);
      std::memcpy(digests[i].bytes.data() + word * sizeof big, &big, sizeof big);
    }
  }
}

#pragma GCC diagnostic pop

#else

bool has_lanes() noexcept {
  return false;
}
void sha256_in_lanes(std::span<const std::span<const std::byte>>, std::span<Digest>) noexcept {}

#endif

}  // namespace umbra::base
