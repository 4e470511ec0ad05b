import MsgBox
import Testing

@Suite struct StreamFrameTests {
  static let request = MessageHead(kind: .request, replyID: 5, messageID: 0x0102_0304)

  @Test("A message's frame is its length, its header, its id and its bytes")
  func message() {
    let frame = Self.request.frame([0xaa, 0xbb])
    #expect(
      frame == [0, 0, 0, 14] + [0xc2, 1, 0, 1, 0, 0, 0, 5] + [1, 2, 3, 4] + [0xaa, 0xbb])
    #expect(
      MessageHead(kind: .oneWay).frame([]) == [0, 0, 0, 8] + [0xc0, 0, 0, 1, 0, 0, 0, 0])
  }

  @Test("Only hello and accept carry a session on a stream")
  func control() {
    let introduction = HandshakeTests.introduction
    let hello = ControlPacket.hello(introduction).frame(session: 0)
    #expect(hello.prefix(8) == [0, 0, 0, 48, 0xc8, 5, 0, 1])
    #expect(hello.count == 52)
    let accept = ControlPacket.accept(introduction).frame(session: clientSession)
    #expect(accept.prefix(8) == [0, 0, 0, 32, 0xc8, 6, 0, 1])
    let heartbeat = ControlPacket.heartbeat.frame(session: nil)
    #expect(heartbeat == [0, 0, 0, 8, 0xc0, 3, 0, 1, 0, 0, 0, 0])
    let close = ControlPacket.close(.overload).frame(session: nil)
    #expect(close == [0, 0, 0, 8, 0xc0, 4, 0, 1, 0, 0, 0, 4])
  }

  @Test("A frame written behind others has the length of its own")
  func behind() {
    var bytes: [UInt8] = [9, 9, 9]
    StreamFrame.append(.heartbeat, session: nil, to: &bytes)
    #expect(bytes == [9, 9, 9] + ControlPacket.heartbeat.frame(session: nil))
  }

  @Test("A head is read as it was written")
  func head() throws {
    let frame = Self.request.frame([1, 2, 3])
    #expect(FrameHead.size(frame.span) == 16)
    let head = try FrameHead(frame.span)
    #expect(head.rest == 3)
    #expect(head.messageID == 0x0102_0304)
    #expect(head.session == nil)
    #expect(head.header.replyID == 5)
    let accept = ControlPacket.accept(HandshakeTests.introduction).frame(session: clientSession)
    #expect(FrameHead.size(accept.span) == 20)
    #expect(try FrameHead(accept.span).session == clientSession)
    #expect(try FrameHead(accept.span).rest == Introduction.acceptSize)
  }

  static let reliable = MessageHead(
    kind: .reliable, messageID: 7, place: ChannelPlace(channel: 255, place: 0x0102_0304))

  @Test("A reliable frame has channel and place behind its id")
  func reliable() throws {
    let frame = Self.reliable.frame([0xaa])
    #expect(
      frame == [0, 0, 0, 18] + [0xc2, 15, 0, 1, 0, 0, 0, 0] + [0, 0, 0, 7]
        + [255, 1, 2, 3, 4] + [0xaa])
    #expect(FrameHead.size(frame.span) == 21)
    let head = try FrameHead(frame.span)
    #expect(head.place == Self.reliable.place)
    #expect(head.messageID == 7)
    #expect(head.rest == 1)
  }

  @Test("The size of a head is 12 until its flags are there", arguments: 0...5)
  func sizeOfPart(count: Int) {
    let frame = Self.request.frame([])
    #expect(FrameHead.size(frame.span.extracting(first: count)) == 12)
  }

  @Test("Every truncation of a head is short")
  func truncated() {
    let accept = ControlPacket.accept(HandshakeTests.introduction).frame(session: clientSession)
    for frame in [Self.request.frame([]), Self.reliable.frame([]), accept] {
      for count in 0..<FrameHead.size(frame.span) {
        #expect(throws: DropReason.short) { try FrameHead(frame.span.extracting(first: count)) }
      }
    }
  }

  @Test(
    "What no frame can be is malformed",
    arguments: [
      // A length; more than one packet; a body that ends before the message id; before the session;
      // a reliable message without an id; a body that ends before its place.
      [0, 0, 0, 10, 0xc4, 0, 0, 1, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 8, 0xc0, 0, 0, 2, 0, 0, 0, 0],
      [0, 0, 0, 8, 0xc0, 0, 0, 2, 0, 1, 0, 0],
      [0, 0, 0, 8, 0xc2, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
      [0, 0, 0, 15, 0xc8, 6, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
      [0, 0, 0, 17, 0xc0, 15, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1],
      [0, 0, 0, 16, 0xc2, 15, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1],
    ] as [[UInt8]])
  func malformed(frame: [UInt8]) {
    #expect(throws: DropReason.malformed) { try FrameHead(frame.span) }
  }

  @Test("A length is judged by its four bytes")
  func lengths() {
    func isGood(_ length: UInt32, maxMessage: Int) -> Bool? {
      var bytes: [UInt8] = []
      bytes.append(bigEndian: length)
      return FrameHead.checkLength(bytes.span, maxMessage: maxMessage)
    }
    #expect(isGood(7, maxMessage: 100) == false)
    #expect(isGood(8, maxMessage: 0) == true)
    #expect(isGood(164, maxMessage: 100) == true)
    #expect(isGood(165, maxMessage: 100) == false)
    #expect(isGood(16_777_280, maxMessage: WireFormat.defaultStreamLargest) == true)
    #expect(isGood(16_777_281, maxMessage: WireFormat.defaultStreamLargest) == false)
    #expect(isGood(.max, maxMessage: WireFormat.defaultStreamLargest) == false)
    #expect(isGood(.max, maxMessage: .max - 64) == true)
    for count in 0..<4 {
      let bytes = [UInt8](repeating: 0xff, count: count)
      #expect(FrameHead.checkLength(bytes.span, maxMessage: 0) == nil)
    }
  }
}
