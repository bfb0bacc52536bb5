import * as z from 'zod'
import { execTargetSchema } from './exec-target-schema.ts'
import { httpTargetSchema } from './http-target-schema.ts'
import { slackTargetSchema } from './slack-target-schema.ts'

export const targetSchemas = { http: httpTargetSchema, slack: slackTargetSchema, exec: execTargetSchema }

export const targetSchema = z.discriminatedUnion('type', [httpTargetSchema, slackTargetSchema, execTargetSchema])
