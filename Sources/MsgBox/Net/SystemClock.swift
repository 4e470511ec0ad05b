import CMsgBox

/// The monotonic clock of the system.
package enum SystemClock {
  package static var now: Instant { Instant(nanoseconds: cmsgbox_now()) }

  /// The same as it was at the last tick of the system, some milliseconds ago at most, for a fifth
  /// of the cost.
  package static var coarse: Instant { Instant(nanoseconds: cmsgbox_now_coarse()) }
}

extension RandomSource {
  /// Numbers from the generator of the system.
  package static var system: RandomSource {
    RandomSource { words in
      unsafe words.withUnsafeMutableBytes { unsafe cmsgbox_random($0.baseAddress, $0.count) }
    }
  }
}
