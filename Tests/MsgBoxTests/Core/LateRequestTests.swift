import MsgBox
import Testing

/// Message ids are of requests and of other messages: between those of two requests may lie many.
@Suite("Requests that arrive long after others")
struct LateRequestTests {
  @Test("A large request that takes long is not taken for an old one by the small ones beside it")
  func largeBesideSmall() throws {
    let raw = try RawServer(options: roomyOptions())
    let (session, _) = try raw.join()
    func part(_ packet: UInt16) -> [UInt8] {
      RawPacket.header(
        .request, flags: RawPacket.fragment, packets: 3, packet: packet, replyID: 9)
        + RawPacket.u32(0) + [UInt8](repeating: UInt8(packet), count: packet == 2 ? 1 : 50)
    }
    var number: UInt32 = 0
    func sendPart(_ packet: UInt16) {
      raw.stranger.forget()
      raw.send(RawPacket.numbered(number, session, part(packet)))
      #expect(raw.stranger.received.contains { $0.acknowledged == number })
      number += 1
    }
    for packet in 0..<3 as Range<UInt16> {
      sendPart(packet)
      guard packet < 2 else { continue }
      // So slowly that the window need not grow.
      for id in UInt32(1)...1100 {
        raw.stranger.send(
          RawPacket.request(
            session, replyID: 10, messageID: UInt32(packet) * 1100 + id, [1]), to: raw.address)
        if id % 200 == 0 { raw.simulation.run(for: .milliseconds(1500)) }
      }
    }
    #expect(raw.server.log.all(.request).count { $0.bytes.count == 101 } == 1)
    sendPart(0)
    sendPart(2)
    #expect(raw.server.log.count(.request) == 2201)
    #expect(raw.server.census.incompleteBytes == 0)
  }

  @Test("Of two requests the first may come last, with many other messages between and before them")
  func firstComesLast() throws {
    let pair = try Pair(.udp, serverOptions: roomyOptions(), clientOptions: roomyOptions())
    pair.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer(event.bytes, to: event.request) == .ok) }
    }
    pair.server.log.isCountingOnly = true
    func sendOthers(_ count: Int) {
      for _ in 0..<count { #expect(pair.client.sendReliably([1], to: pair.up) == .ok) }
    }
    sendOthers(70_000)
    pair.run(for: .seconds(20))
    var isFirst = true
    pair.simulation.onDatagram = { datagram in
      guard isFirst, datagram.kind == .request else { return true }
      isFirst = false
      return false
    }
    #expect(pair.client.get("one", from: pair.up, context: 1) == .ok)
    pair.run(for: .milliseconds(1))
    sendOthers(2000)
    #expect(pair.client.get("two", from: pair.up, context: 2) == .ok)
    _ = try #require(pair.client.wait(for: .reply, count: 2))
    #expect(pair.server.log.count(.request) == 2)
    pair.server.onEvent = nil
    pair.finish()
  }
}
