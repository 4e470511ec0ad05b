import MsgBox
import Testing

@Suite("Peers that never say hello", .transitions)
struct ImplicitPeerTests {
  private func start(_ options: ConnectionOptions = .init()) throws -> RawServer {
    var options = options
    options.implicitPeers = true
    return try RawServer(options: options)
  }

  @Test(
    "A first packet makes ready, before its message",
    arguments: [RawPacket.Kind.oneWay, .request, .heartbeat])
  func first(kind: RawPacket.Kind) throws {
    let raw = try start()
    switch kind {
    case .oneWay: raw.send(RawPacket.oneWay(nil, "hi"))
    case .request: raw.send(RawPacket.header(.request, replyID: 4) + Array("hi".utf8))
    default: raw.send(RawPacket.heartbeat(nil))
    }
    let expected = [
      RawPacket.Kind.oneWay: " message", .request: " request", .heartbeat: "",
    ]
    #expect(raw.server.log.string() == "listening connectionReady" + (expected[kind] ?? ""))
    #expect(raw.server.peer(of: raw.server.log.events[1].handle) == raw.stranger.address)
    finishAll(raw.simulation)
  }

  @Test("Without the option a bare packet is dropped and not answered")
  func notAllowed() throws {
    let raw = try RawServer()
    raw.send(RawPacket.oneWay(nil, "hi"), RawPacket.heartbeat(nil), RawPacket.close(nil))
    #expect(raw.answers.isEmpty)
    #expect(raw.server.log.string() == "listening")
    #expect(raw.server.counters.allDrops == 3)
    finishAll(raw.simulation)
  }

  @Test("A close, an accept or a reply makes nobody")
  func notNewcomers() throws {
    let raw = try start()
    raw.send(
      RawPacket.close(nil), RawPacket.accept(0, own: 4),
      RawPacket.header(.reply, replyID: 3) + [1])
    #expect(raw.server.log.string() == "listening")
    #expect(raw.server.census.connections == 0)
    finishAll(raw.simulation)
  }

  @Test("Messages, requests and replies pass both ways with bare headers")
  func bothWays() throws {
    let raw = try start()
    raw.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer("pong", to: event.request) == .ok) }
    }
    raw.send(RawPacket.header(.request, replyID: 9) + Array("ping".utf8))
    #expect(
      raw.stranger.received.map(\.bytes) == [
        RawPacket.header(.reply, replyID: 9) + Array("pong".utf8)
      ])
    let handle = try #require(raw.server.log.last(.connectionReady)).handle
    raw.stranger.forget()
    #expect(raw.server.send("hey", to: handle) == .ok)
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.stranger.received.map(\.bytes) == [RawPacket.oneWay(nil, "hey")])
    raw.stranger.forget()
    #expect(raw.server.get("who", from: handle, context: 6) == .ok)
    raw.simulation.run(for: .milliseconds(50))
    let request = try #require(raw.stranger.received.first)
    #expect(request.kind == .request && Array(request.bytes[8...]) == Array("who".utf8))
    let replyID = try #require(request.replyID)
    raw.send(RawPacket.header(.reply, replyID: replyID) + Array("me".utf8))
    #expect(raw.server.log.last(.reply)?.text == "me")
    #expect(raw.server.log.last(.reply)?.getContext == 6)
    finishAll(raw.simulation)
  }

  @Test("After a close a message brings the peer back at once, as a new connection")
  func back() throws {
    let raw = try start()
    raw.send(RawPacket.oneWay(nil, "1"))
    raw.send(RawPacket.close(nil))
    raw.send(RawPacket.oneWay(nil, "2"))
    let cycle = "connectionReady message connectionClosed connectionReady message"
    #expect(raw.server.log.string() == "listening " + cycle)
    #expect(Set(raw.server.log.all(.connectionReady).map(\.handle)).count == 2)
    #expect(raw.server.census.connections == 1)
    finishAll(raw.simulation)
  }

  @Test(
    "Within a second of the end a late heartbeat or close is ignored, after it a heartbeat counts")
  func lateHeartbeat() throws {
    let raw = try start()
    raw.send(RawPacket.oneWay(nil, "1"))
    raw.send(RawPacket.close(nil))
    raw.send(RawPacket.heartbeat(nil), RawPacket.close(nil), RawPacket.heartbeat(nil))
    #expect(raw.server.log.count(.connectionReady) == 1)
    #expect(raw.server.census.connections == 0)
    raw.simulation.run(for: .milliseconds(1100))
    raw.send(RawPacket.heartbeat(nil))
    #expect(raw.server.log.count(.connectionReady) == 2)
    finishAll(raw.simulation)
  }

  /// The heartbeats that come in a minute in which the peer beats itself, if it is connected.
  private func beats(_ raw: RawServer, isConnected: Bool) -> Int {
    raw.stranger.forget()
    for _ in 0..<60 {
      if isConnected { raw.send(RawPacket.heartbeat(nil)) }
      raw.simulation.run(for: .milliseconds(isConnected ? 950 : 1000))
    }
    return raw.answers.count { $0 == .heartbeat }
  }

  @Test(
    "After any number of closes and returns within one rotation there is one beat, or none",
    arguments: 0...5)
  func ghosts(rounds: Int) throws {
    let raw = try start()
    raw.send(RawPacket.oneWay(nil, "first"))
    for round in 0..<rounds {
      raw.send(RawPacket.close(nil))
      raw.send(RawPacket.oneWay(nil, "round \(round)"))
    }
    let cycles = raw.server.log.string(of: nil).split(separator: " ").dropFirst()
    let golden = Array(
      repeating: ["connectionReady", "message", "connectionClosed"], count: rounds)
    #expect(cycles.map(String.init) == golden.flatMap { $0 } + ["connectionReady", "message"])
    #expect(raw.server.census.connections == 1)
    let alive = beats(raw, isConnected: true)
    #expect(alive >= 6 && alive <= 13)
    #expect(raw.server.log.count(.connectionReady) == rounds + 1)
    raw.send(RawPacket.close(nil))
    #expect(raw.server.census.connections == 0)
    #expect(beats(raw, isConnected: false) == 0)
    finishAll(raw.simulation)
  }

  @Test(
    "The same rounds by disconnects of the server, for many peers in one rotation", arguments: 0...5
  )
  func serverRounds(rounds: Int) throws {
    let raw = try start()
    let others = (0..<20).map {
      raw.simulation.addStranger(at: RawServer.strangerAddress(300 + $0))
    }
    for other in others { other.send(RawPacket.oneWay(nil, "first"), to: raw.address) }
    raw.simulation.run(for: .milliseconds(20))
    for _ in 0..<rounds {
      for handle in raw.server.guarantees.openConnections {
        #expect(raw.server.disconnect(handle) == .ok)
      }
      raw.simulation.run(for: .milliseconds(20))
      for other in others { other.send(RawPacket.oneWay(nil, "again"), to: raw.address) }
      raw.simulation.run(for: .milliseconds(20))
    }
    #expect(raw.server.census.connections == 20)
    #expect(raw.server.log.count(.connectionReady) == 20 * (rounds + 1))
    raw.simulation.run(for: .milliseconds(10_500))
    for other in others { other.forget() }
    raw.simulation.run(for: .seconds(10))
    for other in others {
      let beats = other.received.count { $0.kind == .heartbeat }
      #expect(beats >= 1 && beats <= 3)
    }
    for handle in raw.server.guarantees.openConnections {
      #expect(raw.server.disconnect(handle) == .ok)
    }
    raw.simulation.run(for: .seconds(1))
    for other in others { other.forget() }
    raw.simulation.run(for: .seconds(60))
    #expect(others.allSatisfy { $0.received.isEmpty })
    finishAll(raw.simulation)
  }

  @Test("An implicit peer does not disturb one with a session at the same address")
  func mixed() throws {
    let raw = try start()
    let (session, handle) = try raw.join()
    raw.send(RawPacket.oneWay(session, "with"))
    #expect(raw.server.log.last(.message)?.handle == handle)
    raw.send(RawPacket.oneWay(nil, "without"))
    raw.send(RawPacket.oneWay(session, "with again"))
    #expect(raw.server.log.last(.message)?.handle == handle)
    #expect(raw.server.log.last(.message)?.text == "with again")
    raw.send(RawPacket.close(session))
    #expect(raw.server.log.last(.connectionClosed)?.handle == handle)
    finishAll(raw.simulation)
  }

  @Test(
    "They have half of a listener's places, and make way for who says hello, the most silent first")
  func evicted() throws {
    var options = ConnectionOptions()
    options.maxConnections = 6
    let raw = try start(options)
    let others = (0..<5).map { raw.simulation.addStranger(at: RawServer.strangerAddress(20 + $0)) }
    for other in others {
      other.send(RawPacket.oneWay(nil, "hi"), to: raw.address)
      raw.simulation.run(for: .milliseconds(50))
    }
    #expect(raw.server.census.connections == 3 && raw.server.dropped(.connectionsFull) == 2)
    let peers = raw.server.log.all(.connectionReady).map(\.handle)
    // The first is heard from again, so the second has been silent for longest.
    others[0].send(RawPacket.heartbeat(nil), to: raw.address)
    for own in UInt64(1)...3 { _ = try raw.join(own: own) }
    #expect(raw.server.census.connections == 6 && raw.server.log.count(.connectionClosed) == 0)
    for (own, victim) in zip(UInt64(4)...6, [peers[1], peers[2], peers[0]]) {
      _ = try raw.join(own: own)
      let closed = try #require(raw.server.log.last(.connectionClosed))
      #expect(closed.handle == victim && closed.status == .overload)
    }
    #expect(others[1].received.last?.bytes == RawPacket.close(nil, reason: 4))
    raw.send(RawPacket.hello(own: 7))
    #expect(raw.answers.last == .close, "nobody is left who makes way")
    #expect(raw.server.log.count(.connectionClosed) == 3)
    finishAll(raw.simulation)
  }

  @Test("Datagrams that each make a peer and end it leave no more than there may be peers")
  func brief() throws {
    let raw = try start()
    let message = RawPacket.header(.oneWay, flags: RawPacket.length) + [0, 1, 7]
    for _ in 0..<2 {
      for number in 0..<70_000 {
        raw.simulation.transmit(
          Datagram(
            from: RawServer.strangerAddress(300 + number % 60_000), to: raw.address,
            bytes: message + RawPacket.close(nil)))
      }
      raw.simulation.run(for: .milliseconds(1100))
      #expect(raw.server.dropped(.connectionsFull) >= 70_000 - UInt64(ImplicitPeers.most))
      #expect(raw.server.census.connections == 0)
      // Those of the first time are no ghosts any more, but many wait for their turn in the rotation.
      let closes = raw.server.endpoint.rotationCensus.pendingCloses
      #expect(closes > 30_000 && closes <= ImplicitPeers.most)
    }
    let before = raw.server.log.count(.message)
    raw.simulation.run(for: .seconds(61))
    raw.send(RawPacket.oneWay(nil, "later"))
    #expect(raw.server.log.count(.message) == before + 1)
    finishAll(raw.simulation)
  }

  @Test("A request of several packets can be answered")
  func requestInParts() throws {
    let raw = try start()
    raw.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer("pong", to: event.request) == .ok) }
    }
    for packet in 0..<2 as Range<UInt16> {
      raw.send(
        RawPacket.header(
          .request, flags: RawPacket.fragment, packets: 2, packet: packet, replyID: 9)
          + RawPacket.u32(1) + [7])
    }
    #expect(raw.server.log.count(.request) == 1)
    #expect(raw.answers == [.reply])
    raw.server.onEvent = nil
    finishAll(raw.simulation)
  }
}
