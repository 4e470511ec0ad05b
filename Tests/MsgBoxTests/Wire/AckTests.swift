import MsgBox
import Testing

@Suite struct AckTests {
  typealias Ranges = [(first: UInt32, last: UInt32)]

  static func bytes(_ ack: AckBody) -> [UInt8] { ack.bytes }

  /// The ranges that a body names; nil if it is malformed.
  static func ranges(_ bytes: [UInt8], _ body: Range<Int>? = nil) -> Ranges? {
    guard var reader = AckReader(bytes.span, body ?? 0..<bytes.count) else { return nil }
    var ranges: Ranges = []
    while let range = reader.next(bytes.span) { ranges.append(range) }
    return ranges
  }

  static func read(_ ack: AckBody) -> Ranges? { ranges(bytes(ack)) }

  static func areEqual(_ one: Ranges?, _ other: Ranges?) -> Bool {
    guard let one, let other else { return one == nil && other == nil }
    return one.elementsEqual(other) { $0.first == $1.first && $0.last == $1.last }
  }

  @Test("Known ranges give the bytes, and the bytes give the ranges")
  func known() {
    let ranges: Ranges = [(9, 10), (7, 7), (0, 3)]
    let ack = AckBody(largest: 10, delay: 0x0203, ranges: ranges)
    let expected: [UInt8] = [0, 0, 0, 10, 2, 3, 0, 1] + [0, 0, 0, 0] + [0, 2, 0, 3]
    #expect(Self.bytes(ack) == expected)
    #expect(ack.size == 16)
    let reader = AckReader(expected.span, 0..<16)
    #expect(reader?.largest == 10)
    #expect(reader?.delay == 0x0203)
    #expect(Self.areEqual(Self.ranges(expected), ranges))
  }

  @Test("One number alone is 8 bytes, with its range and without", arguments: [0, 1, UInt32.max])
  func single(number: UInt32) {
    for ranges in [[], [(number, number)]] as [Ranges] {
      let ack = AckBody(largest: number, delay: 0, ranges: ranges)
      #expect(ack.size == AckBody.leastSize)
      #expect(Self.areEqual(Self.read(ack), [(number, number)]))
    }
  }

  @Test("Ranges may lie on both sides of the wrap, and across it")
  func wraps() {
    let ranges: Ranges = [(5, 6), (.max - 1, 3), (.max - 9, .max - 5)]
    let ack = AckBody(largest: 6, delay: .max, ranges: ranges)
    #expect(Self.areEqual(Self.read(ack), ranges))
  }

  @Test("A run of 65536 is named whole, a longer one loses its older end")
  func longRun() {
    let whole = AckBody(largest: 70_000, delay: 0, ranges: [(4465, 70_000)])
    #expect(Self.areEqual(Self.read(whole), [(4465, 70_000)]))
    let cut = AckBody(largest: 70_000, delay: 0, ranges: [(4464, 70_000), (4000, 4100)])
    #expect(Self.areEqual(Self.read(cut), [(4465, 70_000), (4000, 4100)]))
    let older = AckBody(
      largest: 200_000, delay: 0, ranges: [(199_999, 200_000), (100_000, 199_000)])
    #expect(Self.areEqual(Self.read(older), [(199_999, 200_000), (133_465, 199_000)]))
  }

  @Test("A gap of 65536 is named, what lies behind a longer one is left out")
  func longGap() {
    let named: Ranges = [(100_000, 100_000), (30_000, 34_463), (1, 1)]
    let ack = AckBody(largest: 100_000, delay: 0, ranges: named)
    #expect(Self.areEqual(Self.read(ack), named))
    let left = AckBody(
      largest: 100_000, delay: 0, ranges: [(100_000, 100_000), (30_000, 34_462), (1, 1)])
    #expect(left.size == 8)
    #expect(Self.areEqual(Self.read(left), [(100_000, 100_000)]))
  }

  @Test("Ranges that touch, overlap or run the wrong way end the ack, and nothing traps")
  func notRanges() {
    for bad in [(8, 9), (9, 9), (20, 30), (10, 10), (0, 20)] as Ranges {
      let ack = AckBody(largest: 12, delay: 0, ranges: [(10, 12), bad])
      #expect(Self.areEqual(Self.read(ack), [(10, 12)]), "\(bad)")
    }
    let backwards = AckBody(largest: 12, delay: 0, ranges: [(20, 12)])
    #expect(Self.read(backwards)?.count == 1)
  }

  static func evenNumbers(_ count: UInt32) -> Ranges {
    (0..<count).reversed().map { (2 * $0, 2 * $0) }
  }

  @Test("256 ranges are named, no more", arguments: [255, 256, 257, 1000] as [UInt32])
  func mostRanges(count: UInt32) {
    let ranges = Self.evenNumbers(count)
    let ack = AckBody(largest: 2 * count - 2, delay: 0, ranges: ranges)
    let named = min(Int(count), WireFormat.maxAckRanges)
    #expect(ack.size == 4 + 4 * named)
    #expect(Self.areEqual(Self.read(ack), Array(ranges.prefix(named))))
    #expect(Self.bytes(ack).count == ack.size)
  }

  @Test("A body is 8 bytes and 4 for each of at most 255 further ranges")
  func sizes() {
    for count in 0...1040 {
      let bytes = [UInt8](repeating: 0, count: count)
      let isGood = count >= 8 && count % 4 == 0 && count <= 8 + 255 * 4
      #expect((Self.ranges(bytes) != nil) == isGood, "\(count)")
      #expect(AckReader(bytes.span, 1..<count + 1) == nil)
    }
  }

  @Test("The reader keeps to its body")
  func body() {
    let bytes: [UInt8] = [9, 9, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    #expect(Self.areEqual(Self.ranges(bytes, 2..<10), [(4, 5)]))
    #expect(Self.areEqual(Self.ranges(bytes, 2..<14), [(4, 5), (2, 2)]))
    #expect(Self.ranges(bytes, 2..<18) == nil)
  }

  @Test("Any set of ranges comes back as it was", arguments: 1...200)
  func roundTrip(seed: UInt64) {
    var random = RandomSource(seed: seed)
    let largest = UInt32(truncatingIfNeeded: random.word())
    var ranges: Ranges = []
    var next = largest
    for _ in 0...random.below(256) {
      let isLong = random.below(8) == 0
      let run = UInt32(random.below(isLong ? 65_536 : 4))
      let gap = UInt32(random.below(isLong ? 65_536 : 4))
      ranges.append((next &- run, next))
      next = next &- run &- gap &- 2
    }
    ranges = Array(ranges.prefix(256))
    let ack = AckBody(largest: largest, delay: UInt16(random.below(65_536)), ranges: ranges)
    #expect(ack.size == 4 + 4 * ranges.count, "seed \(seed)")
    #expect(Self.areEqual(Self.read(ack), ranges), "seed \(seed)")
    let reader = AckReader(Self.bytes(ack).span, 0..<ack.size)
    #expect(reader?.largest == largest && reader?.delay == ack.delay, "seed \(seed)")
  }

  @Test("Random bytes are ranges, newest first and apart, or malformed")
  func randomBytes() {
    var random = RandomSource(seed: 7)
    var found = 0
    for _ in 0..<20_000 {
      let bytes = (0..<Int(random.below(80))).map { _ in
        random.below(4) == 0 ? 0xff : UInt8(truncatingIfNeeded: random.word())
      }
      guard let ranges = Self.ranges(bytes) else { continue }
      #expect(ranges.count == bytes.count / 4 - 1)
      // Distance from the largest, so that a wrap does not hide a step back.
      var reach: UInt32 = 0
      for (index, range) in ranges.enumerated() {
        let (near, far) = (ranges[0].last &- range.last, ranges[0].last &- range.first)
        #expect(near <= far && (index == 0 || near > reach + 1))
        reach = far
      }
      found += 1
    }
    #expect(found > 3000)
  }

  @Test("Random ranges, in no order, never trap and fit what they say")
  func randomRanges() {
    var random = RandomSource(seed: 8)
    for _ in 0..<2000 {
      let ranges: Ranges = (0..<random.below(300)).map { _ in
        (UInt32(random.below(500)), UInt32(random.below(500)))
      }
      let ack = AckBody(largest: UInt32(random.below(500)), delay: 0, ranges: ranges)
      #expect(Self.bytes(ack).count == ack.size)
      #expect(Self.read(ack) != nil)
    }
  }

  @Test("A stream's ack is a count of 4 bytes; shorter is none, what follows is ignored")
  func stream() throws {
    var frame: [UInt8] = [9]
    StreamFrame.append(ackCount: 0x0102_0304, to: &frame)
    let expected: [UInt8] = [0, 0, 0, 12, 0xc0, 11, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]
    #expect(frame == [9] + expected)
    #expect(try FrameHead(expected.span).rest == StreamAck.size)
    #expect(StreamAck(expected.span, 12..<16) == StreamAck(count: 0x0102_0304))
    #expect(StreamAck(expected.span, 8..<16)?.count == 0)
    for end in 12..<16 { #expect(StreamAck(expected.span, 12..<end) == nil) }
    #expect(StreamAck(expected.span, 13..<17) == nil)
  }
}
