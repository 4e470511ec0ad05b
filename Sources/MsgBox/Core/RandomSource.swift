/// Random numbers as an argument: a buffer that a closure refills, from the system or from a seeded
/// generator.
package struct RandomSource {
  private var buffer: [UInt64]
  private var next: Int
  private let refill: (inout [UInt64]) -> Void

  /// `refill` fills every element of the array that it is given.
  package init(refill: @escaping (inout [UInt64]) -> Void) {
    buffer = [UInt64](repeating: 0, count: 32)
    next = buffer.count
    self.refill = refill
  }

  /// SplitMix64: repeatable, for simulations; never for a socket.
  package init(seed: UInt64) {
    var state = seed
    self.init { words in
      for index in words.indices {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        words[index] = z ^ z >> 31
      }
    }
  }

  package mutating func word() -> UInt64 {
    if next == buffer.count {
      refill(&buffer)
      next = 0
    }
    let word = buffer[next]
    buffer[next] = 0
    next += 1
    return word
  }

  /// A number in `0 ..< bound`; 0 for a bound of 0.
  package mutating func below(_ bound: UInt64) -> UInt64 {
    word().multipliedFullWidth(by: bound).high
  }
}
