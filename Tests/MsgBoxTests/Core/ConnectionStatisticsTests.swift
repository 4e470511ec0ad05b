import MsgBox
import Testing

@Suite("Statistics of a connection")
struct ConnectionStatisticsTests {
  private func counters(_ node: Node, _ handle: Handle) throws -> ConnectionCounters {
    try #require(node.counters(of: handle))
  }

  @Test("The handshake tells the round trip to both ends")
  func handshake() throws {
    let pair = try Pair(.udp)
    for (node, handle) in [(pair.client, pair.up), (pair.server, pair.down)] {
      let known = try counters(node, handle)
      #expect(known.roundTrip == .milliseconds(20) && known.leastRoundTrip == .milliseconds(20))
      #expect(known.roundTripVariation == .milliseconds(10))
    }
    #expect(pair.client.send("", to: pair.up) == .ok)
    pair.run(for: .milliseconds(100))
    #expect(try counters(pair.client, pair.up).roundTrip == .milliseconds(20))
    pair.finish()
  }

  @Test("A hello that was sent twice tells nothing, and a reply then stands in")
  func repeatedHello() throws {
    let simulation = Simulation()
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    var hellos = 0
    simulation.onDatagram = { datagram in
      if datagram.kind == .hello { hellos += 1 }
      return datagram.kind != .hello || hellos > 1
    }
    let up = client.connect(.udp, to: server.address(of: listener))
    _ = try #require(client.wait(for: .connectionSetup))
    #expect(try counters(client, up).roundTrip == Interval(nanoseconds: 0))
    server.onEvent = { node, event in
      guard event.kind == .request else { return }
      simulation.schedule(after: .milliseconds(30)) { _ = node.answer("", to: event.request) }
    }
    #expect(client.get("", from: up, context: 1) == .ok)
    _ = try #require(client.wait(for: .reply))
    #expect(try counters(client, up).roundTrip == .milliseconds(50))
    // What is known better takes its place.
    #expect(client.sendReliably([1], to: up, outcome: 1) == .ok)
    _ = try #require(client.wait(for: .delivered))
    #expect(try counters(client, up).roundTrip == .milliseconds(20))
    server.onEvent = nil
    finishAll(simulation)
  }

  @Test("The answer to a challenge tells the round trip, with and without messages before")
  func challenge() throws {
    for hasTraffic in [false, true] {
      var options = ConnectionOptions()
      options.suspect = .milliseconds(500)
      let pair = try Pair(.udp, clientOptions: options)
      if hasTraffic { #expect(pair.client.send("", to: pair.up) == .ok) }
      pair.simulation.changeAll { $0.latency = .milliseconds(100) }
      pair.run(for: .seconds(120))
      let known = try counters(pair.client, pair.up)
      #expect(known.roundTrip > .milliseconds(150) && known.roundTrip <= .milliseconds(201))
      #expect(pair.client.dropped(.staleResponse) == 0)
      pair.finish()
    }
  }

  @Test("An answer that comes once more, seconds later, tells nothing, and delays no repair")
  func lateResponse() throws {
    var options = ConnectionOptions()
    options.suspect = .milliseconds(500)
    let pair = try Pair(.udp, clientOptions: options)
    // What is sent has its own average, of which one wrong sample stays visible.
    #expect(pair.client.send("", to: pair.up) == .ok)
    let simulation = pair.simulation
    var (answers, copies) = (0, 0)
    simulation.onDatagram = { [unowned simulation] datagram in
      guard datagram.kind == .response else { return true }
      answers += 1
      guard answers == 1 else { return true }
      simulation.schedule(after: .milliseconds(4300)) {
        copies += 1
        simulation.transmit(datagram)
      }
      return true
    }
    #expect(simulation.run(within: .seconds(30)) { copies == 1 })
    pair.run(for: .milliseconds(11))
    #expect(try counters(pair.client, pair.up).roundTrip < .milliseconds(21))
    #expect(pair.client.dropped(.staleResponse) == 0)
    var sent = 0
    simulation.onDatagram = { datagram in
      if datagram.from == pair.address { return true }
      sent += 1
      return sent > 1
    }
    #expect(pair.client.sendReliably([1], to: pair.up, outcome: 1) == .ok)
    #expect(simulation.run(within: .seconds(1)) { pair.client.log.count(.delivered) == 1 })
    #expect(sent > 1)
    pair.finish()
  }

  @Test("A response to no challenge of ours is dropped, and tells nothing")
  func forgedResponse() throws {
    let raw = try RawServer()
    let (session, handle) = try raw.join()
    let before = try counters(raw.server, handle).roundTrip
    for token in UInt64(1)...20 {
      let forged = token &* 0x9e37_79b9_7f4a_7c15
      raw.send(RawPacket.header(.response, session: session) + RawPacket.u64(forged))
    }
    #expect(raw.server.dropped(.staleResponse) == 20)
    let after = try counters(raw.server, handle)
    #expect(after.roundTrip == before && after.drops == 20)
    finishAll(raw.simulation)
  }

  @Test("Loss, what was sent again, and the window are counted")
  func loss() throws {
    let pair = try Pair(.udp)
    pair.simulation.changeAll { $0.loss = 100 }
    for index in 0..<2000 {
      let bytes = [UInt8](repeating: 1, count: 900)
      while pair.client.sendReliably(bytes, to: pair.up, outcome: UInt(index)) == .wouldBlock {
        pair.run(for: .milliseconds(50))
      }
      if index == 100 {
        pair.run(for: .milliseconds(5))
        let busy = try counters(pair.client, pair.up)
        #expect(busy.bytesInFlight > 0 && busy.queuedMessages > 0 && busy.queuedBytes > 0)
      }
    }
    pair.simulation.run(within: .seconds(600)) { pair.client.log.count(.delivered) == 2000 }
    pair.run(for: .seconds(5))
    let known = try counters(pair.client, pair.up)
    #expect(known.messagesSent == 2000 && known.bytesSent == 1_800_000)
    #expect(known.trackedSent >= 2000)
    let share = Double(known.trackedLost) / Double(known.trackedSent)
    #expect(share > 0.07 && share < 0.15, "lost \(known.trackedLost) of \(known.trackedSent)")
    #expect(known.resent >= known.trackedLost * 9 / 10)
    #expect(known.congestionWindow >= 2400 && known.bytesInFlight == 0)
    #expect(known.queuedMessages == 0 && known.queuedBytes == 0)
    #expect(known.leastRoundTrip >= .milliseconds(20) && known.roundTrip < .milliseconds(40))
    let there = try counters(pair.server, pair.down)
    #expect(there.messagesReceived == 2000 && there.bytesReceived == 1_800_000)
    #expect(there.trackedSent == 0 && there.messagesSent == 0)
    pair.simulation.changeAll { $0.loss = 0 }
    pair.finish()
  }

  @Test("Requests that are sent again are counted, and so are their copies")
  func resentGets() throws {
    let pair = try Pair(.udp)
    #expect(pair.client.get("", from: pair.up, context: 1, timeout: .seconds(5)) == .ok)
    pair.run(for: .seconds(2))
    let asked = try counters(pair.client, pair.up)
    #expect(asked.resent >= 2 && asked.getsWaiting == 1)
    let there = try counters(pair.server, pair.down)
    #expect(there.drops == asked.resent)
    #expect(pair.server.endpoint.dropped(.duplicate, of: pair.down) == asked.resent)
    #expect(there.messagesReceived == 1)
    pair.finish()
  }

  @Test("Statistics can be read while the end is told", arguments: bothTransports)
  func atTheEnd(transport: Transport) throws {
    let pair = try Pair(transport)
    var last: ConnectionCounters?
    pair.client.onEvent = { node, event in
      if event.kind == .connectionClosed { last = node.counters(of: event.handle) }
    }
    #expect(pair.client.sendReliably([1, 2], to: pair.up, outcome: 1) == .ok)
    #expect(pair.server.send([3], to: pair.down) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.client.disconnect(pair.up) == .ok)
    _ = try #require(pair.client.wait(for: .connectionClosed))
    let known = try #require(last)
    #expect(known.messagesSent == 1 && known.bytesSent == 2)
    #expect(known.messagesReceived == 1 && known.bytesReceived == 1)
    #expect(known.queuedMessages == 0 && known.queuedBytes == 0)
    if transport == .udp {
      #expect(known.trackedSent == 1 && known.roundTrip == .milliseconds(20))
    }
    #expect(pair.client.counters(of: pair.up) == nil)
    pair.client.onEvent = nil
    pair.finish()
  }
}
