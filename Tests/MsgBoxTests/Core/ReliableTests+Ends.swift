import MsgBox
import Testing

@Suite("Ends, timers and refusals of reliable messages", .transitions)
struct ReliableEndTests {
  @Test("A peer that dies leaves one outcome for each message, whatever its state, before the end")
  func lost() throws {
    var options = quickOptions()
    options.sendMarkBytes = 1 << 20
    var conditions = LinkConditions()
    conditions.latency = .milliseconds(50)
    let pair = try Pair(.udp, clientOptions: options, conditions: conditions)
    let client = pair.client
    #expect(client.sendReliably([1], to: pair.up, outcome: 1) == .ok)
    _ = try #require(client.wait(for: .delivered))
    // Its acknowledgement is on its way.
    #expect(client.sendReliably([2], to: pair.up, outcome: 2) == .ok)
    pair.run(for: .milliseconds(60))
    // In part on the wire, and behind that; with a key, with a deadline, in another channel.
    let part = [UInt8](repeating: 3, count: 200_000)
    #expect(client.sendReliably(part, to: pair.up, channel: 1, outcome: 3) == .ok)
    #expect(client.sendReliably([4], to: pair.up, channel: 1, outcome: 4) == .ok)
    #expect(client.sendReliably([5], to: pair.up, channel: 1, outcome: 5, key: 1) == .ok)
    #expect(client.sendReliably([6], to: pair.up, channel: 2, outcome: 6) == .ok)
    #expect(client.get([UInt8](repeating: 7, count: 9000), from: pair.up, context: 77) == .ok)
    pair.server.powerOff()
    let end = try #require(client.wait(for: .connectionLost, of: pair.up))
    #expect(end.status == .timedOut)
    #expect(client.log.events.last?.kind == .connectionLost)
    let outcomes = client.deliveredContexts + client.undelivered.keys
    #expect(outcomes.sorted() == [1, 2, 3, 4, 5, 6])
    #expect(client.undelivered.values.allSatisfy { $0 == .connectionEnded })
    #expect(client.census.queuedMessages == 0 && client.census.queuedBytes == 0)
  }

  @Test("A disconnect delivers what was accepted, and tells of it before the closed event")
  func disconnect() throws {
    var conditions = LinkConditions()
    conditions.loss = 200
    var options = roomyOptions()
    options.closeTimeout = .seconds(60)
    let pair = try Pair(.udp, seed: 5, clientOptions: options, conditions: conditions)
    for index in 0..<100 {
      let bytes = Marked.bytes(channel: 3, index: index, size: index % 10 == 0 ? 5000 : 100)
      let status = pair.client.sendReliably(
        bytes, to: pair.up, channel: 3, outcome: UInt(index + 1))
      #expect(status == .ok)
    }
    #expect(pair.client.disconnect(pair.up) == .ok)
    _ = try #require(pair.client.wait(for: .connectionClosed, within: .seconds(70)))
    #expect(pair.client.deliveredContexts.sorted() == (1...100).map { UInt($0) })
    #expect(pair.client.log.events.last?.kind == .connectionClosed)
    let marks = pair.server.log.all(.message).compactMap { Marked.read($0.bytes)?.index }
    #expect(marks == Array(0..<100))
    pair.simulation.changeAll { $0.loss = 0 }
    pair.finish()
  }

  @Test("A disconnect from a peer that is gone ends in time, with an outcome for each message")
  func disconnectFromNobody() throws {
    let pair = try Pair(.udp)
    pair.server.powerOff()
    for context in UInt(1)...5 {
      #expect(pair.client.sendReliably([1], to: pair.up, channel: 1, outcome: context) == .ok)
    }
    #expect(pair.client.disconnect(pair.up) == .ok)
    let began = pair.simulation.now
    let end = try #require(pair.client.wait(for: .connectionClosed))
    #expect(end.time.since(began) == .seconds(5))
    #expect(pair.client.undelivered.count == 5)
    #expect(pair.client.dropped(.ended) == 5)
  }

  @Test("Messages from before the setup arrive; those of a setup that fails have their outcome")
  func early() throws {
    let simulation = Simulation(seed: 3)
    let server = simulation.addNode("server")
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    let address = server.address(of: listener)
    let good = client.connect(.udp, to: address)
    for context in UInt(1)...3 {
      #expect(client.sendReliably([UInt8(context)], to: good, channel: 1, outcome: context) == .ok)
    }
    _ = try #require(client.wait(for: .delivered, count: 3))
    #expect(server.log.all(.message).map(\.bytes) == [[1], [2], [3]])
    let nobody = Address(ip: address.ip, port: address.port &+ 1)
    let bad = client.connect(.udp, to: nobody, options: quickOptions())
    #expect(client.sendReliably([9], to: bad, outcome: 9) == .ok)
    _ = try #require(client.wait(for: .connectionSetupError, of: bad))
    #expect(client.undelivered == [9: .connectionEnded])
    #expect(client.log.events.last?.kind == .connectionSetupError)
    finishAll(simulation)
  }

  @Test("Nothing ticks once everything is acknowledged")
  func idle() throws {
    let options = roomyOptions()
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    pair.simulation.changeAll { $0.loss = 100 }
    for index in 0..<50 {
      let size = index == 0 ? 1_000_000 : 500
      let bytes = [UInt8](repeating: 1, count: size)
      let status = pair.client.sendReliably(
        bytes, to: pair.up, channel: 1, outcome: UInt(index + 1))
      #expect(status == .ok)
    }
    _ = try #require(pair.client.wait(for: .delivered, count: 50))
    pair.simulation.changeAll { $0.loss = 0 }
    pair.run(for: .seconds(10))
    var deadlines: [Set<UInt64>] = [[], []]
    var numbered = 0
    pair.simulation.onDatagram = { datagram in
      if datagram.number != nil { numbered += 1 }
      return true
    }
    for _ in 0..<6000 {
      pair.run(for: .milliseconds(10))
      for (index, node) in [pair.client, pair.server].enumerated() {
        if let deadline = node.endpoint.nextDeadline {
          deadlines[index].insert(deadline.nanoseconds)
        }
      }
    }
    // The rotation alone: a visit each 5 s.
    #expect(deadlines[0].count <= 14 && deadlines[1].count <= 14)
    #expect(numbered == 0)
    pair.finish()
  }

  @Test("A request given up while its parts are lost leaves nothing that is sent for ever")
  func abandonedRequest() throws {
    let pair = try Pair(.udp)
    let bytes = [UInt8](repeating: 1, count: 9000)
    pair.simulation.change(pair.client, pair.server) { $0.isUp = false }
    #expect(pair.client.get(bytes, from: pair.up, context: 1, timeout: .milliseconds(500)) == .ok)
    _ = try #require(pair.client.wait(for: .replyMissing))
    #expect(pair.client.census.queuedMessages == 0)
    var afterwards = 0
    pair.simulation.onDatagram = { datagram in
      if datagram.number != nil { afterwards += 1 }
      #expect(datagram.bytes.count < 100, "nothing of the request is sent any more")
      return true
    }
    pair.run(for: .seconds(1))
    pair.simulation.change(pair.client, pair.server) { $0.isUp = true }
    pair.run(for: .seconds(5))
    let soon = afterwards
    pair.run(for: .seconds(30))
    #expect(afterwards == soon)
    #expect(pair.server.log.count(.request) == 0)
    pair.finish()
  }

  @Test("A socket that was full for long, over losses and probes, goes on when it has room")
  func blocked() throws {
    let pair = try Pair(.udp)
    let socket = try #require(pair.client.sockets.compactMap(\.self).first).id
    var lost = 0
    pair.simulation.onDatagram = { datagram in
      guard datagram.number != nil, lost < 4 else { return true }
      lost += 1
      return false
    }
    #expect(pair.client.sendReliably([UInt8](repeating: 1, count: 6000), to: pair.up) == .ok)
    pair.run(for: .milliseconds(1))
    pair.client.enter { pair.client.endpoint.setBlocked(socket, true) }
    #expect(pair.client.sendReliably([2], to: pair.up, channel: 1, outcome: 2) == .ok)
    pair.run(for: .seconds(8))
    #expect(pair.server.log.count(.message) == 0)
    pair.client.enter { pair.client.endpoint.setBlocked(socket, false) }
    #expect(pair.server.wait(for: .message, count: 2, within: .seconds(5)) != nil)
    #expect(pair.client.wait(for: .delivered)?.getContext == 2)
    pair.finish()
  }

  @Test("Acks that are all lost for a while delay the outcome, and nothing is delivered twice")
  func acksLost() throws {
    let pair = try Pair(.udp)
    var isDeaf = true
    pair.simulation.onDatagram = { datagram in
      !(isDeaf && datagram.from.ip == pair.server.ip)
    }
    for context in UInt(1)...20 {
      let bytes = [UInt8](repeating: UInt8(context), count: 3000)
      #expect(pair.client.sendReliably(bytes, to: pair.up, channel: 1, outcome: context) == .ok)
    }
    pair.run(for: .seconds(5))
    #expect(pair.client.log.count(.delivered) == 0)
    isDeaf = false
    _ = try #require(pair.client.wait(for: .delivered, count: 20))
    #expect(pair.server.log.all(.message).map { $0.bytes.first } == (1...20).map { UInt8($0) })
    pair.finish()
  }

  @Test("A peer that dies in a long message is lost also on a connection that is silent when idle")
  func onDemand() throws {
    var options = quickOptions()
    options.liveness = .onDemand
    var conditions = LinkConditions()
    conditions.latency = .milliseconds(100)
    let pair = try Pair(.udp, clientOptions: options, conditions: conditions)
    let bytes = [UInt8](repeating: 1, count: 900_000)
    #expect(pair.client.sendReliably(bytes, to: pair.up, outcome: 1) == .ok)
    pair.run(for: .milliseconds(700))
    pair.server.powerOff()
    let end = try #require(pair.client.wait(for: .connectionLost, within: .seconds(10)))
    #expect(end.status == .timedOut)
    #expect(pair.client.undelivered == [1: .connectionEnded])
  }

  @Test("A program that takes nothing for long loses neither the connection nor a message")
  func slowProgram() throws {
    var options = quickOptions()
    options.receiveMarkMessages = 1
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    let server = pair.server
    let bytes = Marked.bytes(channel: 1, index: 0, size: 50_000)
    #expect(pair.client.sendReliably(bytes, to: pair.up, channel: 1, outcome: 1) == .ok)
    pair.run(for: .milliseconds(15))
    #expect(server.census.incompleteBytes > 0)
    server.enter { server.endpoint.untaken(pair.down, messages: 1, bytes: 0) }
    pair.run(for: .seconds(25))
    #expect(server.log.count(.message) == 0)
    #expect(server.log.count(.error) == 1)
    server.enter { server.endpoint.untaken(pair.down, messages: -1, bytes: 0) }
    let arrived = try #require(server.wait(for: .message))
    #expect(Content.areEqual(arrived.bytes, bytes))
    #expect(pair.client.wait(for: .delivered)?.getContext == 1)
    pair.finish()
  }

  @Test("A program that takes nothing for long does not lose a request of which a part is there")
  func slowProgramRequest() throws {
    var options = quickOptions()
    options.receiveMarkMessages = 1
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    let server = pair.server
    let bytes = Marked.bytes(channel: 1, index: 0, size: 50_000)
    #expect(pair.client.get(bytes, from: pair.up, context: 1, timeout: .seconds(60)) == .ok)
    pair.run(for: .milliseconds(15))
    #expect(server.census.incompleteBytes > 0)
    server.enter { server.endpoint.untaken(pair.down, messages: 1, bytes: 0) }
    pair.run(for: .seconds(25))
    #expect(server.log.count(.request) == 0)
    server.enter { server.endpoint.untaken(pair.down, messages: -1, bytes: 0) }
    let arrived = try #require(server.wait(for: .request))
    #expect(Content.areEqual(arrived.bytes, bytes))
    pair.finish()
  }
}
