import CMsgBox

/// The monotonic clock of the system.
package enum SystemClock {
  package static var now: Instant { Instant(nanoseconds: cmsgbox_now()) }
}

extension RandomSource {
  /// Numbers from the generator of the system.
  package static var system: RandomSource {
    RandomSource { words in
      unsafe words.withUnsafeMutableBytes { unsafe cmsgbox_random($0.baseAddress, $0.count) }
    }
  }
}
