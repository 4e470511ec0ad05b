import MsgBox
import Testing

@Suite("Reliable messages of a peer that means no good")
struct ReliableHostileTests {
  /// A server with little room, and a stranger with a session.
  private func join(
    room: UInt64, largest: UInt32
  ) throws -> (server: RawServer, session: UInt64, handle: Handle) {
    var options = ConnectionOptions()
    options.maxMessageBytes = largest
    let raw = try RawServer(options: options)
    var limits = BoxLimits()
    limits.receiveBytes = room
    let isSet = raw.server.endpoint.setLimits(limits)
    #expect(isSet)
    let (session, handle) = try raw.join()
    return (raw, session, handle)
  }

  private var piece: [UInt8] { [UInt8](repeating: 7, count: 1000) }

  @Test("Messages that never become complete, and such that wait, stay within the box's room")
  func boxBound() throws {
    let room = 300_000
    let (raw, session, handle) = try join(room: UInt64(room), largest: 100_000)
    var number: UInt32 = 0
    var most = 0
    func send(_ packet: [UInt8]) {
      raw.stranger.send(RawPacket.numbered(number, session, packet), to: raw.address)
      number += 1
      raw.simulation.run(for: .milliseconds(11))
      most = max(most, raw.server.census.incompleteBytes)
    }
    for index in UInt32(0)..<300 {
      // The middle of three, then the first: the last would complete it.
      let channel = UInt8(1 + index % 255)
      for packet in [UInt16(1), 0] {
        send(
          RawPacket.reliable(
            channel: channel, place: 1 + index / 255, messageID: index, packets: 3, packet: packet,
            piece))
      }
    }
    // Each has only its last packet missing, and waits for another when it has it.
    for index in UInt32(0)..<300 {
      send(
        RawPacket.reliable(
          channel: UInt8(1 + index % 255), place: 1 + index / 255, messageID: index, packets: 3,
          packet: 2, piece))
    }
    for place in UInt32(1)..<500 {
      send(RawPacket.reliable(channel: 9, place: 10 + place, messageID: 5000 + place, piece))
    }
    #expect(most <= room + 100_000)
    #expect(most > room / 2)
    #expect(raw.server.dropped(.memory) > 0)
    #expect(raw.server.log.count(.message) == 0)
    #expect(raw.server.abort(handle) == .ok)
    raw.simulation.run(for: .seconds(1))
    #expect(raw.server.census.incompleteBytes == 0)
  }

  @Test("One connection holds at most its largest message and 4 MiB, and what is above that")
  func connectionBound() throws {
    let (raw, session, _) = try join(room: 1 << 30, largest: 100_000)
    let bound = 100_000 + 4_194_304
    let payload = [UInt8](repeating: 1, count: 1160)
    var most = 0
    for place in UInt32(1)..<5000 {
      let packet = RawPacket.reliable(channel: 1, place: place, messageID: place, payload)
      raw.stranger.send(RawPacket.numbered(place, session, packet), to: raw.address)
      if place % 50 == 0 {
        raw.simulation.run(for: .milliseconds(11))
        most = max(most, raw.server.census.incompleteBytes)
      }
    }
    raw.simulation.run(for: .milliseconds(20))
    #expect(most > 4_194_304 && most <= bound + bound / 16)
    // The one that all wait for has room always.
    let first = RawPacket.reliable(channel: 1, place: 0, messageID: 0, payload)
    raw.stranger.send(RawPacket.numbered(6000, session, first), to: raw.address)
    raw.simulation.run(for: .milliseconds(20))
    #expect(raw.server.log.count(.message) > 3000)
    #expect(raw.server.census.incompleteBytes == 0)
  }

  @Test("A place within the window is taken, one beyond is not acknowledged")
  func window() throws {
    let (raw, session, _) = try join(room: 1 << 20, largest: 100_000)
    func send(_ number: UInt32, _ channel: UInt8, _ place: UInt32) -> Bool {
      raw.stranger.forget()
      let packet = RawPacket.reliable(channel: channel, place: place, messageID: number, [1])
      raw.send(RawPacket.numbered(number, session, packet))
      return raw.stranger.received.contains { $0.acknowledged == number }
    }
    for channel in [UInt8(0), 1] {
      let base = UInt32(channel) * 10
      #expect(send(base, channel, 16383))
      #expect(!send(base + 1, channel, 16384))
      #expect(send(base + 2, channel, .max), "behind the first, so a copy")
      #expect(raw.server.dropped(.duplicate) == UInt64(channel) + 1)
      #expect(send(base + 3, channel, 0))
      #expect(send(base + 4, channel, 16384), "comes again, and is in the window now")
    }
    #expect(raw.server.log.count(.message) == 4)
  }

  @Test("A datagram of which a message is refused is not acknowledged; the rest is a copy later")
  func refusedInPart() throws {
    let (raw, session, _) = try join(room: 1 << 20, largest: 100_000)
    var good = RawPacket.reliable(channel: 0, place: 0, messageID: 1, [5])
    good[0] |= 0x04
    good.insert(contentsOf: [0, 10], at: 8)
    let bad = RawPacket.reliable(channel: 0, place: 20_000, messageID: 2, [6])
    raw.stranger.forget()
    raw.send(RawPacket.numbered(0, session, good, bad))
    #expect(raw.server.log.all(.message).map(\.bytes) == [[5]])
    #expect(!raw.stranger.received.contains { $0.acknowledged != nil })
    let again = RawPacket.reliable(channel: 0, place: 0, messageID: 1, [5])
    raw.send(RawPacket.numbered(1, session, again))
    #expect(raw.stranger.received.contains { $0.acknowledged == 1 })
    #expect(raw.server.log.count(.message) == 1)
    #expect(raw.server.dropped(.duplicate) == 1)
  }

  @Test("A datagram with nothing but its number is acknowledged, and no copy is delivered")
  func numbersAlone() throws {
    let (raw, session, _) = try join(room: 1 << 20, largest: 100_000)
    raw.stranger.forget()
    raw.send(RawPacket.numbered(3, session))
    #expect(raw.stranger.received.map(\.acknowledged) == [3])
    let packet = RawPacket.numbered(4, session, RawPacket.oneWay(nil, [1]))
    raw.send(packet, packet, packet)
    #expect(raw.server.log.count(.message) == 1)
    #expect(raw.server.dropped(.duplicate) == 2)
  }

  @Test("Acks of numbers that were never sent, and half ones, change nothing")
  func forgedAcks() throws {
    let (raw, session, handle) = try join(room: 1 << 20, largest: 100_000)
    let server = raw.server
    #expect(server.sendReliably([1], to: handle, outcome: 1) == .ok)
    raw.simulation.run(for: .milliseconds(20))
    let head = RawPacket.u16(0xc000 | RawPacket.session | 11) + RawPacket.u16(1) + [0, 0, 0, 0]
    let bodies: [[UInt8]] = [
      [0, 0, 0, 9, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1],
    ]
    for body in bodies {
      raw.send(head + RawPacket.u64(session) + body)
    }
    #expect(server.log.count(.delivered) == 0)
    raw.send(head + RawPacket.u64(session) + [0, 0, 0, 0, 0, 0, 0xff, 0xff])
    #expect(server.log.count(.delivered) == 1)
    raw.send(head + RawPacket.u64(session) + [0, 0, 0, 0, 0, 0, 0xff, 0xff])
    #expect(server.log.count(.delivered) == 1)
  }

  @Test("On a stream no message is delivered before its frame is written to its end")
  func ackAheadOfStream() throws {
    let simulation = Simulation(seed: 9)
    let server = simulation.addNode("server")
    var options = ConnectionOptions()
    options.sendMarkBytes = 100_000
    let listener = server.listen(.tcp, options: options)
    _ = try #require(server.wait(for: .listening))
    let stream = try #require(
      RawStream(from: simulation.addNode("host"), to: server.address(of: listener)))
    #expect(stream.shakeHands())
    let handle = try #require(server.log.first(.connectionReady)).handle
    func acknowledge(_ count: UInt32) {
      stream.send(RawPacket.frame([0xc0, 0x0b, 0, 1, 0, 0, 0, 0] + RawPacket.u32(count)))
      simulation.run(for: .milliseconds(20))
    }
    let large = [UInt8](repeating: 7, count: 1_000_000)
    #expect(server.sendReliably([1], to: handle, outcome: 1) == .ok)
    #expect(server.send("between", to: handle) == .ok)
    #expect(server.sendReliably(large, to: handle, outcome: 2) == .ok)
    simulation.run(for: .milliseconds(1))
    acknowledge(2)
    #expect(server.deliveredContexts.isEmpty && server.dropped(.staleAck) == 1)
    acknowledge(1)
    #expect(server.deliveredContexts == [1] && server.dropped(.staleAck) == 1)
    #expect(server.send("more", to: handle) == .wouldBlock)
    #expect(server.census.queuedMessages == 1 && server.census.queuedBytes == 1_000_000)
    simulation.run(for: .seconds(2))
    #expect(stream.received.count > large.count)
    acknowledge(3)
    #expect(server.deliveredContexts == [1] && server.dropped(.staleAck) == 2)
    acknowledge(2)
    #expect(server.deliveredContexts == [1, 2] && server.census.queuedMessages == 0)
    #expect(server.send("more", to: handle) == .ok)
    stream.close()
    finishAll(simulation)
  }

  @Test("A peer that never acknowledges one message makes its sender keep no others for that")
  func oneNeverAcknowledged() throws {
    let raw = try RawServer(options: roomyOptions())
    let (session, handle) = try raw.join()
    let head = RawPacket.u16(0xc000 | RawPacket.session | 11) + RawPacket.u16(1) + [0, 0, 0, 0]
    let first = [UInt8](repeating: 0xab, count: 1155)
    // So large that nothing else is with it. What has it is not acknowledged, and everything else is.
    raw.stranger.onReceive = { datagram in
      guard let number = datagram.number, datagram.bytes.count(where: { $0 == 0xab }) < 1000
      else { return }
      raw.stranger.forget()
      raw.stranger.send(
        head + RawPacket.u64(session) + RawPacket.u32(number) + [0, 0, 0, 0], to: raw.address)
    }
    #expect(raw.server.sendReliably(first, to: handle, channel: 1) == .ok)
    raw.simulation.run(for: .milliseconds(11))
    for _ in 0..<3000 {
      #expect(raw.server.sendReliably([2], to: handle, channel: 2) == .ok)
      #expect(raw.server.sendReliably([3], to: handle) == .ok)
      raw.simulation.run(for: .milliseconds(1))
    }
    #expect(raw.server.census.queuedMessages >= 1)
    #expect(raw.server.census.outboxMessages == raw.server.census.queuedMessages)
    #expect(raw.server.census.outboxMessages < 1000)
    raw.stranger.onReceive = nil
    #expect(raw.server.abort(handle) == .ok)
    #expect(raw.server.census.outboxMessages == 0)
  }
}
