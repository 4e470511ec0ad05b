/// The body of an ack in a datagram: which numbered datagrams have been received.
///
///     +-----------+---------+-------+   +--------+-------+
///     | largest 4 | delay 2 | run 2 |   | gap 2  | run 2 |  0...255 times, newest first
///     +-----------+---------+-------+   +--------+-------+
///
/// `largest` and the `run` numbers below it are received; gap + 1 numbers below those are not
/// acknowledged here, then run + 1 are, and so on (after RFC 9000 19.3.1).
package struct AckBody: Sendable {
  /// What precedes the pairs.
  package static let leastSize = 8
  package static let pairSize = 4

  /// The largest number received.
  package let largest: UInt32
  /// Between its reception and this ack, in units of 16 microseconds; 65535 is that or more.
  package let delay: UInt16
  private let ranges: [(first: UInt32, last: UInt32)]
  /// How many of the ranges behind the first are written.
  private let pairs: Int

  /// `ranges` are newest first, the first one ending with `largest`; none is that number alone.
  /// Both ends of a range belong to it, and numbers wrap. What an ack has no room for is left to
  /// later ones: of a range longer than 65536 the older end, what lies behind a gap of more than
  /// 65536, and what comes after 256 ranges.
  package init(largest: UInt32, delay: UInt16, ranges: [(first: UInt32, last: UInt32)]) {
    self.largest = largest
    self.delay = delay
    self.ranges = ranges
    var lowest = AckBody.lowest(of: ranges.first, from: largest)
    var pairs = 0
    while pairs + 1 < WireFormat.maxAckRanges, pairs + 1 < ranges.count,
      AckBody.gap(below: lowest, to: ranges[pairs + 1].last) != nil
    {
      pairs += 1
      lowest = AckBody.lowest(of: ranges[pairs], from: ranges[pairs].last)
    }
    self.pairs = pairs
  }

  /// Bytes that `write` writes.
  package var size: Int { AckBody.leastSize + pairs * AckBody.pairSize }

  /// Writes `size` bytes at `offset`, which moves behind them.
  package func write(to bytes: inout MutableRawSpan, at offset: inout Int) {
    var lowest = AckBody.lowest(of: ranges.first, from: largest)
    bytes.put(largest, at: &offset)
    bytes.put(delay, at: &offset)
    bytes.put(UInt16(truncatingIfNeeded: largest &- lowest), at: &offset)
    var index = 1
    while index <= pairs, let gap = AckBody.gap(below: lowest, to: ranges[index].last) {
      let last = ranges[index].last
      lowest = AckBody.lowest(of: ranges[index], from: last)
      bytes.put(gap, at: &offset)
      bytes.put(UInt16(truncatingIfNeeded: last &- lowest), at: &offset)
      index += 1
    }
  }

  /// The oldest number of a range that a run from `last` down can name.
  private static func lowest(of range: (first: UInt32, last: UInt32)?, from last: UInt32) -> UInt32
  {
    guard let range else { return last }
    return last &- min(last &- range.first, UInt32(UInt16.max))
  }

  /// The gap between two ranges as it is written; nil if it has no room there, or is none.
  private static func gap(below lowest: UInt32, to last: UInt32) -> UInt16? {
    UInt16(exactly: lowest &- last &- 2)
  }
}

/// Reads the body of an ack in a datagram, range by range.
///
/// 256 ranges reach less than 2^26 numbers back, so they never meet themselves.
package struct AckReader: Sendable {
  /// The largest number received.
  package let largest: UInt32
  /// Between its reception and the ack, in units of 16 microseconds; 65535 is that or more.
  package let delay: UInt16
  private var cursor: Int
  private let end: Int
  /// The lowest number of the last range, once there was one.
  private var lowest: UInt32?

  /// Nil if `body` does not lie within the bytes or has no size that an ack can have: malformed.
  package init?(_ bytes: Span<UInt8>, _ body: Range<Int>) {
    let pairs = body.count - AckBody.leastSize
    guard body.upperBound <= bytes.count, pairs >= 0, pairs % AckBody.pairSize == 0,
      pairs / AckBody.pairSize < WireFormat.maxAckRanges,
      let largest = bytes.bigEndian(UInt32.self, at: body.lowerBound),
      let delay = bytes.bigEndian(UInt16.self, at: body.lowerBound + 4)
    else { return nil }
    self.largest = largest
    self.delay = delay
    cursor = body.lowerBound + 6
    end = body.upperBound
  }

  /// The next range, newest first; both ends belong to it, and it may wrap. `bytes` are those of
  /// `init`.
  package mutating func next(_ bytes: Span<UInt8>) -> (first: UInt32, last: UInt32)? {
    guard cursor < end else { return nil }
    var last = largest
    if let lowest {
      guard let gap = bytes.bigEndian(UInt16.self, at: cursor) else { return nil }
      last = lowest &- UInt32(gap) &- 2
      cursor += 2
    }
    guard let run = bytes.bigEndian(UInt16.self, at: cursor) else { return nil }
    cursor += 2
    let first = last &- UInt32(run)
    lowest = first
    return (first, last)
  }
}

/// The body of an ack on a stream.
package struct StreamAck: Equatable, Sendable {
  package static let size = 4

  /// How many reliable frames have been received in this session, modulo 2^32.
  package var count: UInt32

  package init(count: UInt32) {
    self.count = count
  }

  /// Nil if the body is too short.
  package init?(_ bytes: Span<UInt8>, _ body: Range<Int>) {
    guard body.count >= StreamAck.size,
      let count = bytes.bigEndian(UInt32.self, at: body.lowerBound)
    else { return nil }
    self.count = count
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.append(bigEndian: count)
  }
}
