/// Reads `(tcp|udp)://(ip|*|[ipv6]|host name):port`; one pass, no more than a few hundred steps.
package enum LocatorParser {
  /// Longest text that can be an address: scheme, 253 bytes of host name, colon and port.
  package static let longestText = 6 + 253 + 1 + 5

  /// The address that `text` spells; nil for anything else: no blanks, no upper-case scheme, no
  /// service names, no leftovers. The port is 1 to 5 decimal digits, 0...65535.
  package static func parse(_ text: Span<UInt8>) -> Locator? {
    guard text.count <= longestText, text.count > 6,
      let transport = transport(text.extracting(0..<6))
    else { return nil }
    let rest = text.extracting(6..<text.count)
    guard let colon = lastIndex(of: UInt8(ascii: ":"), in: rest),
      let port = decimal(
        rest.extracting((colon + 1)..<rest.count), digits: 5, atMost: UInt32(UInt16.max))
    else { return nil }
    return locator(transport, host: rest.extracting(0..<colon), UInt16(truncatingIfNeeded: port))
  }

  private static func transport(_ scheme: Span<UInt8>) -> Transport? {
    if equal(scheme, "tcp://") { return .tcp }
    if equal(scheme, "udp://") { return .udp }
    return nil
  }

  private static func locator(
    _ transport: Transport, host: Span<UInt8>, _ port: UInt16
  ) -> Locator? {
    guard let first = host.isEmpty ? nil : host[0] else { return nil }
    if first == UInt8(ascii: "*") {
      return host.count == 1 ? Locator(transport: transport, host: .any, port: port) : nil
    }
    if first == UInt8(ascii: "[") {
      guard host[host.count - 1] == UInt8(ascii: "]"), host.count > 2,
        let (ip, scope) = scopedIPv6(host.extracting(1..<(host.count - 1)))
      else { return nil }
      return Locator(transport: transport, host: .ip(ip), port: port, scope: scope)
    }
    if let bits = ipv4(host) {
      return Locator(transport: transport, host: .ip(IPAddress(v4: bits)), port: port)
    }
    return isHostName(host)
      ? Locator(transport: transport, host: .name(bytes(host)), port: port) : nil
  }

  // MARK: IPv4

  /// Four decimal numbers 0...255 without leading zeros: what `inet_aton` takes beyond that (octal,
  /// hexadecimal, fewer parts) means different things to different programs.
  package static func ipv4(_ text: Span<UInt8>) -> UInt32? {
    guard text.count >= 7, text.count <= 15 else { return nil }
    var bits: UInt32 = 0
    var start = 0
    for part in 0..<4 {
      let end = part == 3 ? text.count : index(of: UInt8(ascii: "."), in: text, from: start)
      guard end > start, part == 3 || end < text.count,
        end - start == 1 || text[start] != UInt8(ascii: "0"),
        let octet = decimal(text.extracting(start..<end), digits: 3, atMost: 255)
      else { return nil }
      bits = bits << 8 | octet
      start = end + 1
    }
    return bits
  }

  // MARK: IPv6

  /// An IPv6 address and, after `%`, the number of an interface, 1...4294967295.
  private static func scopedIPv6(_ text: Span<UInt8>) -> (IPAddress, UInt32)? {
    let percent = index(of: UInt8(ascii: "%"), in: text, from: 0)
    guard let ip = ipv6(text.extracting(0..<percent)) else { return nil }
    if percent == text.count { return (ip, 0) }
    guard
      let scope = decimal(
        text.extracting((percent + 1)..<text.count), digits: 10, atMost: .max), scope != 0
    else { return nil }
    return (ip, scope)
  }

  /// The text forms of RFC 4291 2.2: eight groups of 1 to 4 hexadecimal digits, one `::` for one or
  /// more zero groups, and an IPv4 address in place of the last two groups.
  package static func ipv6(_ text: Span<UInt8>) -> IPAddress? {
    guard text.count >= 2, text.count <= 45 else { return nil }
    var groups = IPv6Groups()
    var position = 0
    if text[0] == UInt8(ascii: ":") {
      guard text[1] == UInt8(ascii: ":") else { return nil }
      groups.gap = 0
      position = 2
    }
    while position < text.count {
      let end = index(of: UInt8(ascii: ":"), in: text, from: position)
      guard groups.append(text.extracting(position..<end), isLast: end == text.count) else {
        return nil
      }
      position = end + 1
      if end == text.count { break }
      guard position < text.count else { return nil }
      if text[position] == UInt8(ascii: ":") {
        guard groups.gap == nil else { return nil }
        groups.gap = groups.count
        position += 1
      }
    }
    return groups.address
  }

  /// The groups read so far, and how many of them stand before `::`.
  private struct IPv6Groups {
    var words: InlineArray<8, UInt16> = .init(repeating: 0)
    var count = 0
    var gap: Int?

    mutating func append(_ text: Span<UInt8>, isLast: Bool) -> Bool {
      if let word = hexadecimal(text) { return append(word) }
      guard isLast, let bits = LocatorParser.ipv4(text) else { return false }
      return append(UInt16(truncatingIfNeeded: bits >> 16))
        && append(UInt16(truncatingIfNeeded: bits))
    }

    private mutating func append(_ word: UInt16) -> Bool {
      guard count < 8 else { return false }
      words[count] = word
      count += 1
      return true
    }

    var address: IPAddress? {
      guard gap == nil ? count == 8 : count <= 7 else { return nil }
      let before = gap ?? 8
      var halves: (high: UInt64, low: UInt64) = (0, 0)
      for place in 0..<8 {
        let source = place < before ? place : place - (8 - count)
        let isZero = place >= before && source < before
        halves.high = halves.high << 16 | halves.low >> 48
        halves.low = halves.low << 16 | (isZero ? 0 : UInt64(words[source]))
      }
      return IPAddress(high: halves.high, low: halves.low)
    }
  }

  // MARK: Host names

  /// Labels of 1 to 63 letters, digits, `-` and `_`, no `-` at either end; a final dot is allowed.
  /// The last label is no number: that would be an IPv4 address to `inet_aton`, and was none here.
  private static func isHostName(_ text: Span<UInt8>) -> Bool {
    guard !text.isEmpty, text.count <= 253 else { return false }
    let count = text[text.count - 1] == UInt8(ascii: ".") ? text.count - 1 : text.count
    var start = 0
    var lastIsNumber = true
    while start <= count {
      let end = min(index(of: UInt8(ascii: "."), in: text, from: start), count)
      guard end > start, isLabel(text.extracting(start..<end)) else { return false }
      lastIsNumber = isNumber(text.extracting(start..<end))
      start = end + 1
    }
    return !lastIsNumber
  }

  private static func isLabel(_ label: Span<UInt8>) -> Bool {
    guard label.count <= 63, label[0] != UInt8(ascii: "-"),
      label[label.count - 1] != UInt8(ascii: "-")
    else { return false }
    for place in label.indices {
      switch label[place] {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        continue
      default: return false
      }
    }
    return true
  }

  /// Whether a label is all digits, or `0x` and hexadecimal digits.
  private static func isNumber(_ label: Span<UInt8>) -> Bool {
    let isHex =
      label.count >= 2 && label[0] == UInt8(ascii: "0") && label[1] | 0x20 == UInt8(ascii: "x")
    for place in (isHex ? 2 : 0)..<label.count {
      guard let value = digit(label[place]), isHex || value < 10 else { return false }
    }
    return true
  }

  // MARK: Digits and bytes

  private static func decimal(_ text: Span<UInt8>, digits: Int, atMost limit: UInt32) -> UInt32? {
    guard !text.isEmpty, text.count <= digits else { return nil }
    var value: UInt64 = 0
    for place in text.indices {
      guard let digit = digit(text[place]), digit < 10 else { return nil }
      value = value * 10 + UInt64(digit)
    }
    return value <= UInt64(limit) ? UInt32(truncatingIfNeeded: value) : nil
  }

  private static func hexadecimal(_ text: Span<UInt8>) -> UInt16? {
    guard !text.isEmpty, text.count <= 4 else { return nil }
    var value: UInt16 = 0
    for place in text.indices {
      guard let digit = digit(text[place]) else { return nil }
      value = value << 4 | UInt16(digit)
    }
    return value
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  private static func index(of byte: UInt8, in text: Span<UInt8>, from start: Int) -> Int {
    var place = start
    while place < text.count && text[place] != byte { place += 1 }
    return place
  }

  private static func lastIndex(of byte: UInt8, in text: Span<UInt8>) -> Int? {
    var place = text.count
    while place > 0 {
      place -= 1
      if text[place] == byte { return place }
    }
    return nil
  }

  private static func equal(_ text: Span<UInt8>, _ other: StaticString) -> Bool {
    guard text.count == other.utf8CodeUnitCount else { return false }
    for place in text.indices where unsafe text[place] != other.utf8Start[place] { return false }
    return true
  }

  private static func bytes(_ text: Span<UInt8>) -> [UInt8] {
    var copy: [UInt8] = []
    copy.reserveCapacity(text.count)
    for place in text.indices { copy.append(text[place]) }
    return copy
  }
}
