import MsgBox
import Testing

@Suite("Keys and deadlines")
struct KeyAndDeadlineTests {
  @Test(
    "Of messages with one key only the newest goes, where the first would have",
    arguments: bothTransports, [false, true])
  func newest(transport: Transport, isReliable: Bool) throws {
    let pair = try Pair(transport)
    pair.run(for: .seconds(1))
    for index in UInt8(0)..<100 {
      let options = sendOptions {
        $0.key = UInt64(1 + index % 2)
        $0.isReliable = isReliable
        $0.wantsOutcome = isReliable
        $0.context = UInt(index)
      }
      #expect(pair.server.send([index], to: pair.down, options: options) == .ok)
    }
    #expect(pair.server.census.queuedMessages == 2 && pair.server.census.queuedBytes == 2)
    pair.run(for: .seconds(1))
    #expect(pair.client.log.all(.message).map(\.bytes) == [[98], [99]])
    #expect(pair.server.dropped(.superseded) == 98)
    let undelivered = pair.server.log.all(.undelivered)
    #expect(undelivered.map(\.getContext) == (isReliable ? Array(0..<98) : []))
    #expect(undelivered.allSatisfy { $0.status == .superseded })
    #expect(pair.server.log.all(.delivered).map(\.getContext) == (isReliable ? [98, 99] : []))
    #expect(pair.server.census.queuedMessages == 0 && pair.server.census.queuedBytes == 0)
    pair.finish()
  }

  @Test("A key that went is free for the next message", arguments: bothTransports)
  func oneByOne(transport: Transport) throws {
    let pair = try Pair(transport)
    for index in UInt8(0)..<10 {
      #expect(pair.client.send([index], to: pair.up, options: sendOptions { $0.key = 5 }) == .ok)
      pair.run(for: .milliseconds(200))
    }
    #expect(pair.server.log.all(.message).map(\.bytes) == (UInt8(0)..<10).map { [$0] })
    #expect(pair.client.dropped(.superseded) == 0)
    pair.finish()
  }

  @Test("Keys hold before the setup and in a broadcast", arguments: bothTransports)
  func earlyAndBroadcast(transport: Transport) throws {
    let simulation = Simulation(seed: 2)
    let server = simulation.addNode("server")
    let listener = server.listen(transport)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    let handle = client.connect(transport, to: server.address(of: listener))
    let options = sendOptions { $0.key = 9 }
    for index in UInt8(0)..<10 {
      #expect(client.send([index], to: handle, options: options) == .ok)
    }
    #expect(server.wait(for: .message)?.bytes == [9])
    for index in UInt8(0)..<10 { _ = server.broadcast([index], from: listener, options: options) }
    simulation.run(for: .seconds(1))
    #expect(server.log.count(.message) == 1)
    #expect(client.log.all(.message).map(\.bytes) == [[9]])
    finishAll(simulation)
  }

  @Test(
    "What is too late is dropped and told, although its socket takes nothing",
    arguments: bothTransports, [false, true])
  func late(transport: Transport, isReliable: Bool) throws {
    var clientOptions = ConnectionOptions()
    clientOptions.sendMarkMessages = 4
    let pair = try Pair(transport, clientOptions: clientOptions)
    pair.run(for: .seconds(1))
    pair.client.setBlocked(pair.up, true)
    let began = pair.client.now
    for index in UInt8(0)..<4 {
      let options = sendOptions {
        $0.deadline = index == 2 ? .seconds(60) : .milliseconds(50)
        $0.isReliable = isReliable
        $0.wantsOutcome = isReliable
        $0.context = UInt(index)
      }
      #expect(pair.client.send([index], to: pair.up, options: options) == .ok)
    }
    #expect(pair.client.send([4], to: pair.up) == .wouldBlock)
    let told = try #require(pair.client.wait(for: .writable, within: .seconds(1)))
    #expect(told.time.since(began) < .milliseconds(60))
    #expect(pair.client.dropped(.expired) == 3)
    #expect(pair.client.census.queuedMessages == 1)
    #expect(pair.client.log.all(.undelivered).map(\.getContext) == (isReliable ? [0, 1, 3] : []))
    #expect(pair.client.log.all(.undelivered).allSatisfy { $0.status == .expired })
    pair.client.setBlocked(pair.up, false)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.all(.message).map(\.bytes) == [[2]])
    #expect(pair.client.census.queuedMessages == 0 && pair.client.census.queuedBytes == 0)
    pair.finish()
  }

  @Test(
    "A turn that comes too late sends nothing that is, though no timer has run yet",
    arguments: [false, true])
  func lateTurn(isReliable: Bool) throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    pair.client.pause()
    for (deadline, size) in [(UInt64(50), 500), (500, 10)] {
      let options = sendOptions {
        $0.deadline = .milliseconds(deadline)
        $0.isReliable = isReliable
      }
      let bytes = [UInt8](repeating: 1, count: size)
      #expect(pair.client.send(bytes, to: pair.up, options: options) == .ok)
    }
    pair.run(for: .milliseconds(100))
    let sent = pair.client.turnByHand()
    #expect(sent.count == 1 && sent.allSatisfy { $0.count < 100 })
    #expect(pair.client.dropped(.expired) == 1)
    #expect(pair.client.census.queuedMessages == (isReliable ? 1 : 0))
    pair.client.resume()
    pair.run(for: .seconds(1))
    pair.finish()
  }

  @Test("A close does not wait for what is too late", arguments: bothTransports)
  func lateClose(transport: Transport) throws {
    let pair = try Pair(transport)
    pair.run(for: .seconds(1))
    pair.client.setBlocked(pair.up, true)
    let options = sendOptions { $0.deadline = .milliseconds(50) }
    #expect(pair.client.send([1], to: pair.up, options: options) == .ok)
    let began = pair.client.now
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.run(for: .milliseconds(100))
    pair.client.setBlocked(pair.up, false)
    let closed = try #require(pair.client.wait(for: .connectionClosed))
    #expect(closed.time.since(began) < .milliseconds(200))
    #expect(pair.client.dropped(.expired) == 1)
    finishAll(pair.simulation)
  }

  @Test("On a stream nothing overtakes a message that waits")
  func order() throws {
    let pair = try Pair(.tcp)
    pair.run(for: .seconds(1))
    pair.client.setBlocked(pair.up, true)
    for index in UInt8(0)..<20 {
      let options = sendOptions { if index % 3 == 0 { $0.key = UInt64(index + 1) } }
      #expect(pair.client.send([index], to: pair.up, options: options) == .ok)
    }
    pair.client.setBlocked(pair.up, false)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.all(.message).map(\.bytes) == (UInt8(0)..<20).map { [$0] })
    pair.finish()
  }

  @Test("Packed messages and those that wait do not starve each other")
  func turns() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    let server = pair.server
    for _ in 0..<400 {
      #expect(server.send([UInt8](repeating: 1, count: 1000), to: pair.down) == .ok)
    }
    #expect(server.send([UInt8](repeating: 2, count: 100_000), to: pair.down) == .ok)
    #expect(server.send([3], to: pair.down, options: sendOptions { $0.key = 1 }) == .ok)
    server.setLimits { $0.turnDatagrams = 200 }
    let sent = server.turnByHand()
    #expect(sent.count == 200)
    // Fragments of 1180 bytes and packed messages of 1000.
    #expect(abs(sent.count { $0.count > 1100 } - 84) <= 1)
  }
}
