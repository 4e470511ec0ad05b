import MsgBox
import Testing

@Suite("Heartbeats and silence", .transitions)
struct HeartbeatTests {
  /// Strangers with a session each at one listener.
  private final class Crowd {
    let raw: RawServer
    private(set) var members: [(stranger: Stranger, session: UInt64, handle: Handle)] = []
    private(set) var silent: Set<Int> = []

    init(_ count: Int, options: ConnectionOptions = .init()) throws {
      raw = try RawServer(options: options, seed: 12)
      for index in 0..<count {
        let address = RawServer.strangerAddress(1000 + index)
        let stranger = raw.simulation.addStranger(at: address)
        stranger.onReceive = { [unowned self, unowned stranger] datagram in
          guard datagram.kind == .accept, let session = datagram.ownID else { return }
          stranger.send(RawPacket.heartbeat(session), to: self.raw.address)
          self.members.append((stranger, session, .none))
        }
        stranger.send(RawPacket.hello(own: UInt64(index + 1)), to: raw.address)
        raw.simulation.run(for: .milliseconds(1))
      }
      _ = try #require(raw.server.wait(for: .connectionReady, count: count))
      for (index, ready) in raw.server.log.all(.connectionReady).enumerated() {
        members[index].handle = ready.handle
        members[index].stranger.onReceive = nil
      }
    }

    /// Lets each member beat, again and again.
    func beat(every interval: Interval) {
      for index in members.indices { beat(index, every: interval) }
    }

    func silence(_ index: Int) { silent.insert(index) }

    private func beat(_ index: Int, every interval: Interval) {
      guard !silent.contains(index) else { return }
      let member = members[index]
      member.stranger.send(RawPacket.heartbeat(member.session), to: raw.address)
      member.stranger.forget()
      raw.simulation.schedule(after: interval) { [weak self] in self?.beat(index, every: interval) }
    }
  }

  @Test("2000 peers of one listener share one socket, and each has its own events")
  func manyPeers() throws {
    let crowd = try Crowd(2000)
    #expect(crowd.raw.server.openSockets == 1)
    #expect(crowd.raw.server.census.connections == 2000)
    #expect(Set(crowd.members.map(\.session)).count == 2000)
    for (index, member) in crowd.members.enumerated() where index % 7 == 0 {
      crowd.raw.server.onEvent = { _, event in
        #expect(event.kind == .message && event.handle == member.handle)
      }
      member.stranger.send(RawPacket.oneWay(member.session, "\(index)"), to: crowd.raw.address)
      crowd.raw.simulation.run(for: .milliseconds(15))
    }
    #expect(crowd.raw.server.log.count(.message) == 286)
    crowd.raw.server.onEvent = nil
    #expect(crowd.raw.server.unlisten(crowd.raw.listener) == .ok)
    _ = try #require(crowd.raw.server.wait(for: .listeningEnded))
    #expect(crowd.raw.server.log.count(.connectionClosed) == 2000)
    finishAll(crowd.raw.simulation)
  }

  @Test("The beats to 1000 peers are spread, and one that dies is lost after 30 to 40 seconds")
  func spread() throws {
    let crowd = try Crowd(1000)
    let simulation = crowd.raw.simulation
    crowd.beat(every: .seconds(9))
    simulation.run(for: .seconds(30))
    let start = simulation.now
    var buckets: [UInt64: Int] = [:]
    simulation.onDatagram = { datagram in
      if datagram.kind == .heartbeat, datagram.from == crowd.raw.address {
        buckets[simulation.now.since(start).nanoseconds / 100_000_000, default: 0] += 1
      }
      return true
    }
    crowd.silence(500)
    simulation.run(for: .seconds(60))
    let mean = Double(buckets.values.reduce(0, +)) / 600
    #expect(mean >= 9 && mean <= 21)
    // One visit in two brings a beat, and visits come in groups of 20 ms: even if all visits of a
    // bucket do, that is twice the mean and one group more.
    #expect(Double(buckets.values.max() ?? 0) <= 2 * mean * 6 / 5)
    let lost = crowd.raw.server.log.all(.connectionLost)
    #expect(lost.map(\.handle) == [crowd.members[500].handle])
    let silence = try #require(lost.first).time.since(start)
    #expect(silence >= .seconds(21) && silence <= .seconds(40))
    simulation.onDatagram = nil
    for index in 0..<1000 { crowd.silence(index) }
    #expect(crowd.raw.server.unlisten(crowd.raw.listener) == .ok)
    finishAll(simulation)
  }

  @Test("Of 2000 peers 1999 leave at once, and the one that stays is beaten to on time")
  func manyGhosts() throws {
    let crowd = try Crowd(2000)
    let raw = crowd.raw
    for member in crowd.members.dropLast() {
      member.stranger.send(RawPacket.close(member.session), to: raw.address)
    }
    let last = try #require(crowd.members.last)
    raw.simulation.run(for: .seconds(1))
    #expect(raw.server.census.connections == 1)
    for _ in 0..<10 {
      last.stranger.forget()
      last.stranger.send(RawPacket.heartbeat(last.session), to: raw.address)
      raw.simulation.run(for: .milliseconds(10_500))
      #expect(last.stranger.received.contains { $0.kind == .heartbeat })
    }
    finishAll(raw.simulation)
  }

  @Test(
    "A peer that falls silent is lost between 30 and 40 seconds later",
    arguments: bothTransports)
  func silence(transport: Transport) throws {
    for seed in UInt64(1)...5 {
      let pair = try Pair(transport, seed: seed)
      pair.run(for: .seconds(seed * 7))
      let start = pair.simulation.now
      pair.client.powerOff()
      let lost = try #require(pair.server.wait(for: .connectionLost, within: .seconds(60)))
      #expect(lost.status == .timedOut)
      let heard = start.nanoseconds - 10_000_000_000
      #expect(lost.time.nanoseconds - heard >= 30_000_000_000)
      #expect(lost.time.since(start) <= .seconds(40))
      pair.finish()
    }
  }

  @Test("A heartbeat is no event after ready, and is never answered by a heartbeat")
  func noAnswer() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    raw.simulation.run(for: .milliseconds(10))
    raw.stranger.forget()
    let events = raw.server.log.total
    for _ in 0..<100 { raw.send(RawPacket.heartbeat(session)) }
    #expect(raw.server.log.total == events)
    #expect(raw.stranger.received.count <= 2)
    #expect(raw.server.counters.heartbeatsReceived >= 100)
    finishAll(raw.simulation)
  }

  @Test("An idle connection beats every 5 to 10 seconds with 16 bytes")
  func rhythm() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    raw.simulation.run(for: .seconds(10))
    raw.stranger.forget()
    for _ in 0..<60 {
      raw.send(RawPacket.heartbeat(session))
      raw.simulation.run(for: .milliseconds(950))
    }
    #expect(raw.answers.allSatisfy { $0 == .heartbeat })
    #expect(raw.stranger.received.allSatisfy { $0.bytes == RawPacket.heartbeat(77) })
    #expect(raw.answers.count >= 6 && raw.answers.count <= 13)
    finishAll(raw.simulation)
  }

  @Test("A connection that sends data beats less, not more")
  func dataInstead() throws {
    let raw = try RawServer()
    let (session, handle) = try raw.join()
    raw.simulation.run(for: .seconds(6))
    raw.stranger.forget()
    for _ in 0..<60 {
      #expect(raw.server.send("data", to: handle) == .ok)
      raw.send(RawPacket.heartbeat(session))
      raw.simulation.run(for: .milliseconds(950))
    }
    #expect(raw.answers.count { $0 == .heartbeat } == 0)
    finishAll(raw.simulation)
  }

  /// Visits come every half interval, and the interval is rounded down to a power of two.
  @Test("A peer that says a short lost_after gets a beat within each third of it")
  func shortLostAfter() throws {
    let raw = try RawServer()
    raw.stranger.send(RawPacket.hello(own: 77, lostAfter: 3000), to: raw.address)
    raw.simulation.run(for: .milliseconds(100))
    let session = try #require(raw.stranger.received.first?.ownID)
    raw.send(RawPacket.heartbeat(session))
    raw.simulation.run(for: .seconds(5))
    raw.stranger.forget()
    for _ in 0..<30 {
      raw.send(RawPacket.heartbeat(session))
      raw.simulation.run(for: .milliseconds(950))
    }
    #expect(raw.answers.count { $0 == .heartbeat } >= 28)
    #expect(raw.answers.count { $0 == .heartbeat } <= 120)
    finishAll(raw.simulation)
  }

  @Test("From 15 seconds of silence the path is challenged each second; an answer clears it")
  func suspect() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    raw.stranger.forget()
    raw.simulation.run(for: .seconds(14))
    #expect(!raw.answers.contains(.challenge))
    raw.simulation.run(for: .seconds(12))
    let challenges = raw.stranger.received.filter { $0.kind == .challenge }
    #expect(challenges.count >= 9 && challenges.count <= 13)
    #expect(challenges.allSatisfy { $0.bytes.count == 24 && $0.session == 77 })
    let last = try #require(challenges.last)
    raw.send(RawPacket.header(.response, session: session) + Array(last.bytes[16...]))
    raw.stranger.forget()
    raw.simulation.run(for: .seconds(13))
    #expect(!raw.answers.contains(.challenge))
    #expect(raw.server.log.count(.connectionLost) == 0)
    _ = try #require(raw.server.wait(for: .connectionLost, within: .seconds(30)))
    finishAll(raw.simulation)
  }

  @Test("A challenge is answered with its own 8 bytes")
  func challenge() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    raw.stranger.forget()
    raw.send(RawPacket.header(.challenge, session: session) + RawPacket.u64(0x0102_0304_0506_0708))
    let response = try #require(raw.stranger.received.first)
    #expect(
      response.bytes
        == RawPacket.header(.response, session: 77) + RawPacket.u64(0x0102_0304_0506_0708))
    finishAll(raw.simulation)
  }

  @Test("Nothing but its closes goes to a peer that was closed")
  func noBeatAfterClose() throws {
    let raw = try RawServer()
    let (_, handle) = try raw.join()
    raw.simulation.run(for: .seconds(7))
    raw.stranger.forget()
    #expect(raw.server.disconnect(handle) == .ok)
    raw.simulation.run(for: .seconds(40))
    #expect(raw.answers == [.close, .close, .close])
    finishAll(raw.simulation)
  }

  @Test(
    "A loop that slept for twice the limit loses nobody who was sending",
    arguments: [1, 7, Int.max])
  func longPause(inputsPerTurn: Int) throws {
    let crowd = try Crowd(50)
    crowd.beat(every: .seconds(5))
    crowd.raw.simulation.run(for: .seconds(20))
    crowd.raw.server.inputsPerTurn = inputsPerTurn
    crowd.raw.server.pause()
    crowd.raw.simulation.run(for: .seconds(60))
    crowd.raw.server.resume()
    crowd.raw.simulation.run(for: .seconds(20))
    #expect(crowd.raw.server.log.count(.connectionLost) == 0)
    #expect(crowd.raw.server.census.connections == 50)
    crowd.silence(0)
    crowd.raw.simulation.run(for: .seconds(45))
    #expect(crowd.raw.server.log.count(.connectionLost) == 1)
    #expect(crowd.raw.server.unlisten(crowd.raw.listener) == .ok)
    for index in 0..<50 { crowd.silence(index) }
    finishAll(crowd.raw.simulation)
  }

  @Test("A TCP loop that slept for twice the limit loses nobody who was sending")
  func longPauseOfStreams() throws {
    var patient = ConnectionOptions()
    patient.lost = .seconds(300)
    let pair = try Pair(.tcp, clientOptions: patient)
    pair.server.pause()
    pair.run(for: .seconds(60))
    pair.server.resume()
    pair.run(for: .seconds(20))
    #expect(pair.server.log.count(.connectionLost) == 0)
    pair.finish()
  }
}
