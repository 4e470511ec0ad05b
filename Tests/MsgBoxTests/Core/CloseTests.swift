import MsgBox
import Testing

@Suite("Closing", .transitions)
struct CloseTests {
  @Test(
    "A close ends exactly the connection of its sender, once on each side",
    arguments: bothTransports)
  func onlyItsOwn(transport: Transport) throws {
    let pair = try Pair(transport)
    let other = pair.simulation.addNode("other")
    let handle = other.connect(transport, to: pair.address)
    _ = try #require(pair.server.wait(for: .connectionReady, count: 2))
    #expect(pair.client.disconnect(pair.up) == .ok)
    #expect(pair.client.disconnect(pair.up) == .ended)
    let closed = try #require(pair.server.wait(for: .connectionClosed))
    #expect(closed.handle == pair.down && closed.status == .endPeer)
    #expect(pair.client.log.last(.connectionClosed)?.status == .endLocal)
    pair.run(for: .seconds(60))
    #expect(pair.server.log.count(.connectionClosed) == 1)
    #expect(pair.client.log.count(.connectionClosed) == 1)
    #expect(other.send("still there", to: handle) == .ok)
    #expect(pair.server.wait(for: .message)?.text == "still there")
    pair.finish()
  }

  @Test("Crossing closes give one closed on each side", arguments: bothTransports)
  func crossing(transport: Transport) throws {
    let pair = try Pair(transport)
    #expect(pair.client.disconnect(pair.up) == .ok)
    #expect(pair.server.disconnect(pair.down) == .ok)
    pair.run(for: .seconds(60))
    for node in [pair.client, pair.server] {
      #expect(node.log.all(.connectionClosed).map(\.status) == [.endLocal])
      #expect(node.log.count(.connectionLost) == 0)
    }
    pair.finish()
  }

  @Test(
    "What was queued before the disconnect arrives before the close",
    arguments: bothTransports)
  func queuedFirst(transport: Transport) throws {
    let pair = try Pair(transport)
    for index in 0..<300 { #expect(pair.client.send("\(index)", to: pair.up) == .ok) }
    #expect(pair.client.disconnect(pair.up) == .ok)
    _ = try #require(pair.server.wait(for: .connectionClosed))
    #expect(pair.server.log.all(.message).map(\.text) == (0..<300).map { "\($0)" })
    pair.finish()
  }

  @Test(
    "A program that disconnects and exits at once is heard to close",
    arguments: bothTransports)
  func exitAtOnce(transport: Transport) throws {
    let pair = try Pair(transport)
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.run(for: .milliseconds(0))
    pair.client.kill()
    let closed = try #require(pair.server.wait(for: .connectionClosed, within: .seconds(1)))
    #expect(closed.status == .endPeer)
    pair.finish()
  }

  @Test(
    "Open gets are missing before the closed of a disconnect on either side",
    arguments: bothTransports)
  func missingFirst(transport: Transport) throws {
    let pair = try Pair(transport)
    for context in UInt(1)...5 {
      #expect(pair.client.get("", from: pair.up, context: context) == .ok)
      #expect(pair.server.get("", from: pair.down, context: context) == .ok)
    }
    pair.run(for: .milliseconds(100))
    #expect(pair.client.disconnect(pair.up) == .ok)
    _ = try #require(pair.server.wait(for: .connectionClosed))
    for node in [pair.client, pair.server] {
      #expect(node.log.count(.replyMissing) == 5)
      #expect(node.log.events.last?.kind == .connectionClosed)
    }
    pair.finish()
  }

  @Test("A lost close is repeated after 0.2 and 0.4 seconds")
  func repeated() throws {
    for lost in 1...2 {
      let pair = try Pair(.udp)
      pair.run(for: .seconds(1))
      var closes = 0
      pair.simulation.onDatagram = { datagram in
        guard datagram.kind == .close, datagram.from.ip == pair.client.ip else { return true }
        #expect(datagram.bytes.count == 16)
        closes += 1
        return closes > lost
      }
      let start = pair.simulation.now
      #expect(pair.client.disconnect(pair.up) == .ok)
      let closed = try #require(pair.server.wait(for: .connectionClosed))
      let took = closed.time.since(start)
      #expect(took >= .milliseconds(200 * UInt64(lost) + 10))
      #expect(took <= .milliseconds(200 * UInt64(lost) + 20))
      pair.run(for: .seconds(5))
      #expect(closes == lost + 1, "a close that was answered is repeated no more")
      pair.finish()
    }
  }

  @Test(
    "A close of a server is said again twice, or until it is answered", arguments: [1, 2, .max])
  func repeatedAtMost(answered: Int) throws {
    let raw = try RawServer()
    let (session, handle) = try raw.join()
    raw.stranger.forget()
    var times: [Interval] = []
    let start = raw.simulation.now
    raw.stranger.onReceive = { _ in
      times.append(raw.simulation.now.since(start))
      if times.count == answered { raw.stranger.send(RawPacket.close(session), to: raw.address) }
    }
    #expect(raw.server.disconnect(handle) == .ok)
    raw.simulation.run(for: .seconds(20))
    let expected: [UInt64] = [0, 2, 4]
    #expect(times.map { $0.nanoseconds / 100_000_000 } == Array(expected.prefix(answered)))
    #expect(raw.server.dropped(.staleClose) == 0 && raw.server.census.tombstones == 1)
    raw.send(RawPacket.close(session))
    #expect(times.count == min(answered, 3), "nothing is owed any more")
    #expect(raw.server.dropped(.staleClose) == 1)
    raw.stranger.onReceive = nil
    finishAll(raw.simulation)
  }

  @Test("When every close of a server is lost, the client's next heartbeat learns of the end")
  func allLost() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    pair.simulation.onDatagram = { $0.kind != .close }
    #expect(pair.server.disconnect(pair.down) == .ok)
    pair.run(for: .seconds(1))
    pair.simulation.onDatagram = nil
    #expect(pair.client.log.count(.connectionClosed) == 0)
    let closed = try #require(pair.client.wait(for: .connectionClosed, within: .seconds(11)))
    #expect(closed.status == .endPeer)
    pair.finish()
  }

  /// A client's socket closes after the last repeat, so nobody is there to tell the server's
  /// heartbeats.
  @Test("When every close of a client is lost, the server loses it by its silence")
  func allLostOfClient() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    pair.simulation.onDatagram = { $0.kind != .close }
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.client.openSockets == 0)
    pair.simulation.onDatagram = nil
    let lost = try #require(pair.server.wait(for: .connectionLost, within: .seconds(40)))
    #expect(lost.status == .timedOut)
    pair.finish()
  }

  @Test(
    "A late heartbeat or message of a closed session is answered with close, and brings nobody back"
  )
  func overtaken() throws {
    let raw = try RawServer()
    let (session, handle) = try raw.join()
    raw.send(RawPacket.close(session))
    #expect(raw.server.log.last(.connectionClosed)?.handle == handle)
    raw.stranger.forget()
    let events = raw.server.log.total
    raw.send(RawPacket.heartbeat(session), RawPacket.oneWay(session, "late"))
    #expect(raw.answers == [.close, .close])
    #expect(raw.stranger.received.allSatisfy { $0.bytes.count == 16 })
    #expect(raw.server.log.total == events)
    #expect(raw.server.dropped(.tombstone) == 2)
    #expect(raw.server.census.connections == 0)
    let again = try raw.join(own: 78)
    #expect(again.session != session && again.handle != handle)
    #expect(raw.server.log.string().hasSuffix("connectionReady connectionClosed connectionReady"))
    finishAll(raw.simulation)
  }

  @Test("A server answers the close of a known session once with a close")
  func answered() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    raw.stranger.forget()
    raw.send(RawPacket.close(session))
    #expect(raw.answers == [.close])
    #expect(raw.stranger.received.first?.session == 77)
    raw.send(RawPacket.close(session), RawPacket.close(session))
    #expect(raw.answers == [.close])
    #expect(raw.server.log.count(.connectionClosed) == 1)
    finishAll(raw.simulation)
  }

  @Test("An ended session is known for 30 seconds")
  func remembered() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    raw.send(RawPacket.close(session))
    raw.simulation.run(for: .milliseconds(29_900))
    #expect(raw.server.census.tombstones == 1)
    raw.send(RawPacket.heartbeat(session))
    #expect(raw.server.dropped(.tombstone) == 1)
    raw.simulation.run(for: .milliseconds(200))
    #expect(raw.server.census.tombstones == 0)
    raw.send(RawPacket.heartbeat(session))
    #expect(raw.server.dropped(.tombstone) == 1 && raw.server.dropped(.unknownSession) == 1)
    finishAll(raw.simulation)
  }

  @Test("A session that was lost is known for as long, and who still has it learns of its end")
  func lost() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    _ = try #require(raw.server.wait(for: .connectionLost, within: .seconds(60)))
    #expect(raw.server.census.tombstones == 1)
    raw.stranger.forget()
    raw.simulation.run(for: .seconds(5))
    #expect(raw.answers.isEmpty, "nothing is repeated")
    raw.send(RawPacket.heartbeat(session))
    #expect(raw.answers == [.close] && raw.server.dropped(.tombstone) == 1)
    raw.simulation.run(for: .seconds(26))
    #expect(raw.server.census.tombstones == 0)
    finishAll(raw.simulation)
  }

  @Test("A close from the source of a hello that is not confirmed takes it back, and no other")
  func pending() throws {
    let raw = try RawServer()
    raw.send(RawPacket.hello(own: 5))
    let session = try #require(raw.stranger.received.first?.ownID)
    let other = raw.simulation.addStranger(at: RawServer.strangerAddress(2))
    other.send(RawPacket.close(session), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.census.pendingHellos == 1 && raw.server.dropped(.staleClose) == 1)
    raw.send(RawPacket.close(session))
    #expect(raw.server.census.pendingHellos == 0)
    raw.send(RawPacket.heartbeat(session))
    #expect(raw.server.log.string() == "listening")
    finishAll(raw.simulation)
  }

  @Test("A close from another path, or with a foreign session, ends nothing")
  func forged() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    let other = raw.simulation.addStranger(at: RawServer.strangerAddress(2))
    other.send(RawPacket.close(session), to: raw.address)
    raw.send(RawPacket.close(session &+ 1), RawPacket.close(0), RawPacket.close(nil))
    raw.send(RawPacket.close(78, reason: 1))
    #expect(raw.server.log.count(.connectionClosed) + raw.server.log.count(.connectionLost) == 0)
    #expect(raw.server.counters.allDrops == 5)
    raw.send(RawPacket.oneWay(session, "alive"))
    #expect(raw.server.log.last(.message)?.text == "alive")
    finishAll(raw.simulation)
  }

  @Test("A client believes an unknown_session only if it echoes the id that it sends with")
  func forgedUnknownSession() throws {
    let pair = try Pair(.udp)
    var heartbeat: Datagram?
    pair.simulation.onDatagram = { datagram in
      if datagram.to == pair.address { heartbeat = datagram }
      return true
    }
    #expect(pair.client.send("seen", to: pair.up) == .ok)
    pair.run(for: .milliseconds(100))
    let seen = try #require(heartbeat)
    let session = try #require(seen.session)
    func claim(_ session: UInt64) {
      let bytes = RawPacket.close(session, reason: 1)
      pair.simulation.transmit(Datagram(from: pair.address, to: seen.from, bytes: bytes))
      pair.run(for: .milliseconds(100))
    }
    claim(session &+ 1)
    #expect(pair.client.log.count(.connectionLost) == 0)
    #expect(pair.client.dropped(.staleClose) == 1)
    claim(session)
    #expect(pair.client.log.last(.connectionLost)?.status == .unknownSession)
    pair.finish()
  }

  @Test("Reasons of a close become the status of the end")
  func reasons() throws {
    let expected: [(UInt16, Status)] = [
      (0, .endPeer), (2, .idle), (3, .denied), (4, .overload), (5, .protocolError), (6, .replaced),
    ]
    for (reason, status) in expected {
      let raw = try RawServer()
      let (session, handle) = try raw.join()
      raw.send(RawPacket.close(session, reason: reason))
      let end = raw.server.log.events(of: handle).last
      #expect(end?.kind == .connectionClosed || end?.kind == .connectionLost)
      #expect(end?.status == status, "reason \(reason)")
      finishAll(raw.simulation)
    }
  }

  @Test(
    "An end cancels every timer, get and request of its connection",
    arguments: bothTransports)
  func nothingLeft(transport: Transport) throws {
    let pair = try Pair(transport)
    for round in UInt(1)...50 {
      let handle = pair.client.connect(transport, to: pair.address)
      _ = try #require(pair.client.wait(for: .connectionSetup, of: handle))
      for context in 0..<5 {
        #expect(pair.client.get("", from: handle, context: round * 10 + UInt(context)) == .ok)
      }
      pair.run(for: .milliseconds(30))
      #expect(pair.server.census.requestsOpen == 5)
      #expect(pair.client.disconnect(handle) == .ok)
      pair.run(for: .milliseconds(100))
      for node in [pair.client, pair.server] {
        #expect(node.census.connections == 1)
        #expect(node.census.getsWaiting == 0 && node.census.requestsOpen == 0)
      }
    }
    pair.run(for: .seconds(35))
    #expect(pair.client.census.tombstones == 0 && pair.server.census.tombstones == 0)
    pair.finish()
  }
}
