import Glibc
import MsgBox

/// The bytes of a message that tells by itself who sent it, over which channel and in which place:
/// every byte follows from these and from its length.
struct Content: Equatable {
  enum Kind: UInt8 {
    case unreliable = 1
    case reliable, request, reply
  }

  /// Bytes that hold the fields; a shorter message is cut.
  static let headerBytes = 18
  /// Of the pattern behind the header: prime, so that no fragment begins where another does.
  private static let period = 65_521
  private static let pattern = makePattern()

  var kind: Kind
  var channel: UInt8 = 0
  var sender: UInt64
  /// From 0 in each channel of a sender.
  var sequence: UInt32
  var count: Int

  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    var start = (Int(sequence) &* 7919 &+ Int(channel) &* 613) % Self.period
    while bytes.count < count {
      let end = min(Self.period, start + count - bytes.count)
      bytes += Self.pattern[start..<end]
      start = 0
    }
    for (index, byte) in header.prefix(count).enumerated() { bytes[index] = byte }
    return bytes
  }

  private var header: [UInt8] {
    var header = [channel]
    for shift in stride(from: 24, through: 0, by: -8) {
      header.append(UInt8(truncatingIfNeeded: sequence >> UInt32(shift)))
    }
    for shift in stride(from: 24, through: 0, by: -8) {
      header.append(UInt8(truncatingIfNeeded: count >> shift))
    }
    for shift in stride(from: 56, through: 0, by: -8) {
      header.append(UInt8(truncatingIfNeeded: sender >> UInt64(shift)))
    }
    header.append(kind.rawValue)
    return header
  }

  init(
    _ kind: Kind, channel: UInt8 = 0, sender: UInt64, sequence: UInt32, count: Int
  ) {
    self.kind = kind
    self.channel = channel
    self.sender = sender
    self.sequence = sequence
    self.count = count
  }

  /// What a message of at least `headerBytes` says; nil unless every byte is as it was sent.
  init?(_ bytes: [UInt8]) {
    guard bytes.count >= Self.headerBytes, let kind = Kind(rawValue: bytes[17]) else { return nil }
    let number = { (range: Range<Int>) in bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
    self.init(
      kind, channel: bytes[0], sender: number(9..<17), sequence: UInt32(number(1..<5)),
      count: Int(number(5..<9)))
    guard count == bytes.count, Self.areEqual(bytes, self.bytes) else { return nil }
  }

  /// The sequence that a message of at least 5 bytes says.
  static func sequence(of bytes: [UInt8]) -> Int {
    bytes[1..<5].reduce(0) { $0 << 8 | Int($1) }
  }

  /// Whether two messages are the same; many times faster than `==` is without optimization.
  static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count, !left.isEmpty else { return left.count == right.count }
    return unsafe left.withUnsafeBytes { left in
      unsafe right.withUnsafeBytes { right in
        guard let first = left.baseAddress, let second = right.baseAddress else { return false }
        return unsafe memcmp(first, second, left.count) == 0
      }
    }
  }

  private static func makePattern() -> [UInt8] {
    var random = SeededRandom(seed: 65_521)
    return random.bytes(period)
  }
}
