extension Address {
  /// The address as people and `LocatorParser` read it, such as `udp://[::1]:2345`; at most 64
  /// bytes of ASCII.
  ///
  /// IPv6 is spelled after RFC 5952; IPv4 without its mapping; the unspecified address is `*`.
  package func text(_ transport: Transport) -> [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(64)
    append(transport == .tcp ? "tcp://" : "udp://", to: &text)
    appendHost(to: &text)
    text.append(UInt8(ascii: ":"))
    appendDecimal(UInt32(port), to: &text)
    return text
  }

  private func appendHost(to text: inout [UInt8]) {
    if ip == .unspecified {
      text.append(UInt8(ascii: "*"))
    } else if ip.isIPv4 {
      appendIPv4(to: &text)
    } else {
      text.append(UInt8(ascii: "["))
      appendIPv6(to: &text)
      if scope != 0 {
        text.append(UInt8(ascii: "%"))
        appendDecimal(scope, to: &text)
      }
      text.append(UInt8(ascii: "]"))
    }
  }

  private func appendIPv4(to text: inout [UInt8]) {
    for part in 0..<4 {
      if part > 0 { text.append(UInt8(ascii: ".")) }
      appendDecimal(ip.v4Bits >> UInt32(24 - 8 * part) & 0xff, to: &text)
    }
  }

  /// RFC 5952 4: no leading zeros, lower case, `::` for the longest run of two or more zero groups,
  /// the first of equals.
  private func appendIPv6(to text: inout [UInt8]) {
    let zeros = longestZeroRun()
    var place = 0
    while place < 8 {
      if place == zeros.lowerBound && !zeros.isEmpty {
        append("::", to: &text)
        place = zeros.upperBound
        continue
      }
      if place > 0 && place != zeros.upperBound { text.append(UInt8(ascii: ":")) }
      appendHexadecimal(group(place), to: &text)
      place += 1
    }
  }

  private func group(_ place: Int) -> UInt16 {
    let half = place < 4 ? ip.high : ip.low
    return UInt16(truncatingIfNeeded: half >> UInt64(48 - 16 * (place & 3)))
  }

  /// The groups that `::` stands for; empty (and beyond the last group) if there is no such run.
  private func longestZeroRun() -> Range<Int> {
    var best = 9..<9
    var start = 0
    while start < 8 {
      var end = start
      while end < 8 && group(end) == 0 { end += 1 }
      if end - start >= 2 && end - start > best.count { best = start..<end }
      start = end + 1
    }
    return best
  }

  private func appendDecimal(_ value: UInt32, to text: inout [UInt8]) {
    var divisor: UInt32 = 1
    while value / divisor >= 10 { divisor *= 10 }
    while divisor > 0 {
      text.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
      divisor /= 10
    }
  }

  private func appendHexadecimal(_ value: UInt16, to text: inout [UInt8]) {
    var shift: UInt16 = 12
    while shift > 0 && value >> shift == 0 { shift -= 4 }
    while true {
      let digit = UInt8(truncatingIfNeeded: value >> shift & 0xf)
      text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      if shift == 0 { return }
      shift -= 4
    }
  }

  private func append(_ ascii: StaticString, to text: inout [UInt8]) {
    for place in 0..<ascii.utf8CodeUnitCount { text.append(unsafe ascii.utf8Start[place]) }
  }
}
